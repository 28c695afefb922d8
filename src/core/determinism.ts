import type { CommandRecord } from "./events.js";

/** Why a run can no longer be driven by this code. Nothing of it is thrown into the code: catch blocks and compensation must not run. */
export interface Divergence {
  readonly message: string;
  /** Both sides and the user's line, for people. */
  readonly report: string;
}

const describe = (command: CommandRecord | undefined): string => (command === undefined ? "nothing" : `${command[0]} "${command[1]}"`);

/** Where perdure's own code lies. By its real place: a pattern such as "src/core" would take many an application for us. */
const ownFolder = new URL("..", import.meta.url).pathname;
const runtimeFrame = /[( ](?:node|ext|bun|native):|\(<anonymous>\)$|^\s*at (?:unknown|native)$/;

/** Lines of the user's own code: perdure's and the runtime's own frames say nothing to them. */
export function userFrames(stack: string | undefined): string {
  const lines = (stack ?? "").split("\n").filter((line) => /^\s*at /.test(line));
  const own = lines.filter((line) => !line.includes(ownFolder) && !runtimeFrame.test(line));
  return (own.length > 0 ? own : lines).slice(0, 8).join("\n");
}

/** The code asked for something else than the history says it did. */
export function mismatch(options: {
  readonly number: number;
  readonly seq: number;
  readonly recorded: CommandRecord | undefined;
  readonly actual: CommandRecord | undefined;
  readonly stack: string | undefined;
}): Divergence {
  const { number, seq, recorded, actual, stack } = options;
  const message = `At command ${number} (event ${seq}) the history has ${describe(recorded)}, but the code did ${describe(actual)}.`;
  const hint =
    recorded !== undefined && actual !== undefined && recorded[0] === actual[0]
      ? "The operation was renamed, or others were added, removed or reordered before it."
      : "Operations were added, removed or reordered, or the code depends on something that is not recorded (time, randomness, outer state).";
  const where = userFrames(stack);
  return {
    message,
    report: [
      message,
      "",
      `  recorded: ${describe(recorded)}`,
      `  now:      ${describe(actual)}`,
      "",
      hint,
      "The run is parked, nothing was written. It goes on by itself when a worker starts whose code does what the history says.",
      ...(where === "" ? [] : ["", "The call:", where]),
    ].join("\n"),
  };
}

/** The code read or did something that a replay would not repeat, and was caught at it. */
export function ambientUse(use: { readonly call: string; readonly instead: string; readonly stack: string }): Divergence {
  const message = `The workflow called ${use.call}, which is not the same on a replay. Use ${use.instead} instead.`;
  const where = userFrames(use.stack);
  return {
    message,
    report: [
      message,
      "",
      "The run is parked, nothing was written. It goes on by itself when a worker starts whose code is put right.",
      "Inside of steps and activities everything is allowed. The option guard of launch turns this check off.",
      ...(where === "" ? [] : ["", "The call:", where]),
    ].join("\n"),
  };
}

/** The code does not stop although every operation is refused: left alone it would keep the process from everything else, for ever. */
export function endless(kind: string, name: string, refusal: Error, stack: string | undefined): Divergence {
  const message = `The workflow asks for ${kind} "${name}" again and again although it is refused: ${refusal.message}`;
  const where = userFrames(stack);
  return {
    message,
    report: [
      message,
      "",
      "A loop catches the error and goes on. Throw it on (it has the code cancelled, or that of the timeout), or leave the loop; clean up inside of ctx.shield.",
      "The run is parked, nothing was written. It goes on by itself when a worker starts whose code is put right.",
      ...(where === "" ? [] : ["", "The call:", where]),
    ].join("\n"),
  };
}

/** Something happened outside of a turn: the code awaited something that perdure does not know. */
export function foreignAwait(did: string, stack: string | undefined): Divergence {
  const message = `The workflow ${did} after waiting for something that is not durable (a promise, timer or callback that did not come from ctx).`;
  const where = userFrames(stack);
  return {
    message,
    report: [
      message,
      "",
      "On a replay that other promise may settle earlier, later or never, so the run cannot be replayed faithfully.",
      "Put the work into ctx.step(…), and wait with ctx.sleep(…).",
      "The run is parked, nothing was written. It goes on by itself when a worker starts whose code waits for durable operations only.",
      ...(where === "" ? [] : ["", "Noticed at:", where]),
    ].join("\n"),
  };
}

/** The history has an update that this code does not answer. */
export function unhandled(name: string, seq: number): Divergence {
  const message = `At event ${seq} the history has the update "${name}", but the code has not registered a handler for it by then.`;
  return {
    message,
    report: [
      message,
      "",
      `Register ctx.on(${name}, …) where it was when the update was accepted.`,
      "The run is parked, nothing was written. It goes on by itself when a worker starts whose code does what the history says.",
    ].join("\n"),
  };
}
