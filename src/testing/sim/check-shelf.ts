/** What a chain shows to the outside: what its code said, in order, and what its bodies wrote. */
import { writeAttributes } from "../../core/attributes.js";
import type { FinalOptions, RestingRun } from "./final-checks.js";
import { bodyStream } from "./interpreter.js";
import { commandsIn, type ChainModel } from "./models.js";
import { sameChunk } from "./shelf-model.js";
import { textOf } from "./record-texts.js";

export function checkShelf(options: FinalOptions, chain: ChainModel, resting: ReadonlyMap<number, RestingRun>): void {
  const { state, witness } = options;
  const wrong = chain.shelf.differs(state, chain.key);
  if (wrong !== null) witness.violate("shelf", `chain ${chain.key}: ${wrong}`);
  for (const [name, { chunks }] of state.streams.get(chain.key) ?? []) {
    for (const [offset, chunk] of chunks.entries()) {
      const mine = chain.shelf.streams.get(name)?.[offset];
      if (mine === undefined || !sameChunk(chunk, mine, offset))
        witness.violate("streams", `chain ${chain.key}: chunk ${offset} of ${name} is ${textOf(chunk.payload)} of ${mine?.text}`);
    }
  }
  checkSaid(options, chain, resting);
  for (const run of chain.runs) {
    const found = resting.get(run.key);
    if (found !== undefined) checkWritten(options, chain, found);
  }
}

/** A cold replay says what the code said: the last of each state and attribute is there, and of the streams everything, in order. */
function checkSaid({ state, witness, codec, tally }: FinalOptions, chain: ChainModel, resting: ReadonlyMap<number, RestingRun>): void {
  const said = chain.runs.flatMap((run) => resting.get(run.key)?.replayed.said ?? []);
  const last = new Map<string, string>();
  const chunks = new Map<string, string[]>();
  for (const { kind, name, value } of said) {
    tally.count(`said:${kind}`);
    if (kind === "chunk") chunks.set(name, [...(chunks.get(name) ?? []), value]);
    else last.set(`${kind}:${name}`, value);
  }
  for (const [place, value] of last) {
    const [kind = "", name = ""] = place.split(":");
    const stored =
      kind === "state"
        ? textOf(state.entries.get(chain.key)?.get(place)?.payload ?? null)
        : (state.attributes.get(chain.key)?.get(name) ?? null);
    const expected = kind === "state" ? codec.encode(value, place) : (writeAttributes({ [name]: value }, place)[0]?.value ?? null);
    if (stored !== expected) witness.violate("shelf", `chain ${chain.key}: ${place} is ${stored}, and its code said ${expected} last`);
  }
  for (const [name, { chunks: stored }] of state.streams.get(chain.key) ?? []) {
    const own = stored.filter((chunk) => chunk.writer === "").map((chunk) => codec.decode(textOf(chunk.payload) ?? ""));
    const mine = chunks.get(name) ?? [];
    if (own.join() !== mine.join())
      witness.violate("streams", `chain ${chain.key}: ${name} has ${own.join()}, and its code wrote ${mine.join()}`);
    chunks.delete(name);
  }
  for (const [name, mine] of chunks) witness.violate("streams", `chain ${chain.key}: ${name} is empty, and its code wrote ${mine.join()}`);
}

/** Of a body whose outcome is recorded counts what it wrote itself, behind what it asked for of earlier attempts. */
function checkWritten({ state, witness, codec, tally }: FinalOptions, chain: ChainModel, { row, model, replayed }: RestingRun): void {
  const { executions } = witness.effects;
  const stored = state.streams.get(chain.key)?.get(bodyStream.name)?.chunks ?? [];
  const values = stored.map((chunk) => (chunk.payload === null ? null : String(codec.decode(textOf(chunk.payload) ?? ""))));
  for (const execution of executions) {
    if (execution.runId !== row.runId) continue;
    for (const value of execution.written.slice(0, execution.acknowledged))
      if (!values.includes(value))
        witness.violate("streams", `run ${row.key}: ${value} of ${execution.path} was acknowledged and is nowhere`);
  }
  for (const value of replayed.observed.values()) {
    const execution = executions[Number(/^[xt](\d+)/.exec(value)?.[1] ?? 0) - 1];
    if (execution === undefined || execution.written.length === 0 || execution.runId !== row.runId) continue;
    // A token names the attempt: one that a crash has begun again may be finished while its body writes once more.
    const isBegunAgain = executions.some(
      (other) => other !== execution && other.runId === row.runId && other.path === execution.path && other.attempt === execution.attempt,
    );
    if (value.startsWith("t") && isBegunAgain) continue;
    const writer = stored[values.indexOf(execution.written[0] ?? "")]?.writer;
    const own = stored.flatMap((chunk, offset) => (chunk.writer === writer ? [{ restartAt: chunk.restartAt, value: values[offset] }] : []));
    const since = own.slice(own.findLastIndex(({ restartAt }) => restartAt !== null) + 1).map((chunk) => chunk.value);
    const expected = [...since.slice(0, execution.behind ?? 0), ...execution.written];
    tally.count("written");
    if (execution.behind !== null && execution.behind > 0) tally.count("writtenBehind");
    if (since.join() !== expected.join())
      witness.violate(
        "streams",
        `run ${row.key}: of ${execution.path} (attempt ${execution.attempt}, behind ${execution.behind}) counts ${since.join()}, and it wrote ${execution.written.join()} (of ${commandsIn(model).length} commands)`,
      );
  }
}
