// The smallest whole program: a step, a wait, a result. Kill it while it waits and start it again: it goes on waiting, and has greeted once.
import { launch, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

const hello = workflow("hello", async (ctx, name: string) => {
  const greeting = await ctx.step("greet", () => {
    console.log("thinking of a greeting");
    return `Hello, ${name}`;
  });
  await ctx.sleep("1 second");
  return `${greeting}!`;
});

const engine = await launch({ backend: sqlite("hello.db"), workflows: [hello] });
console.log(await engine.execute(hello, "Ada", { id: "hello-ada" }));
// The id names the run: asked for once more, it tells the result that there is.
console.log(await engine.execute(hello, "Ada", { id: "hello-ada" }));
await engine.close();

/* Output:
thinking of a greeting
Hello, Ada!
Hello, Ada!
*/
