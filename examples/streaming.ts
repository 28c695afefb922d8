// A stream of tokens from a step to whoever reads along. The connection breaks in the middle: one step starts again, the other goes on behind what is stored.
import { launch, stream, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

const tokens = stream<string>("tokens");
const answer = ["Forty", "-", "two", ", ", "of ", "course"];

/** A model that loses its connection after three tokens, the first time. */
async function* model(attempt: number, from = 0): AsyncGenerator<string> {
  for (const [index, token] of answer.slice(from).entries()) {
    if (attempt === 1 && index === 3) throw new Error("connection lost");
    yield token;
  }
}

const retry = { backoff: "10ms" } as const;

const ask = workflow("ask", (ctx, mode: "again" | "onward") =>
  ctx.step(
    "generate",
    async ({ attempt, write, written }) => {
      // Asking how much earlier attempts have stored keeps it; not asking marks it as void at the first write.
      const from = mode === "onward" ? await written(tokens) : 0;
      for await (const token of model(attempt, from)) await write(tokens, token);
      return answer.join("");
    },
    { retry },
  ),
);

const engine = await launch({ backend: sqlite("streaming.db"), workflows: [ask] });

const first = await engine.start(ask, "again");
let shown: string[] = [];
for await (const entry of first.stream(tokens).entries()) {
  if (entry.kind === "restart") {
    console.log(`read ${shown.length} tokens, then a restart from ${entry.from}`);
    shown = shown.slice(0, entry.from);
  } else shown.push(entry.value);
}
console.log(shown.join(""));

const second = await engine.start(ask, "onward");
const entries = [];
for await (const entry of second.stream(tokens).entries()) entries.push(`${entry.offset} ${entry.kind}`);
console.log(entries.join(", "));
// A reader that was cut off goes on behind the offset that it read last.
for await (const token of second.stream(tokens, { from: 4 })) console.log(JSON.stringify(token));
await engine.close();

/* Output:
read 3 tokens, then a restart from 0
Forty-two, of course
0 chunk, 1 chunk, 2 chunk, 3 chunk, 4 chunk, 5 chunk
"of "
"course"
*/
