import type { Prng } from "./prng.js";

/** A workflow as data: what the one workflow function of the simulator (interpreter.ts) does. Plain JSON, so it is also the run's input. */
export type Program = readonly Command[];

export type Command =
  | {
      readonly op: "step" | "activity";
      readonly fails: number;
      readonly attempts: number;
      readonly backoffMs: number;
      readonly bodyMs: number;
      readonly timeoutMs: number | null;
    }
  | { readonly op: "sleep"; readonly ms: number }
  | { readonly op: "receive"; readonly message: number; readonly timeoutMs: number | null; readonly otherwise: boolean }
  | { readonly op: "receiveAny"; readonly messages: readonly number[]; readonly timeoutMs: number | null }
  /** now, random and uuid. */
  | { readonly op: "pure" }
  | { readonly op: "all" | "race"; readonly branches: readonly Program[] }
  /** Begins `early` without waiting, does `meanwhile`, and only then awaits `early`: a rejection of it may be handled late. */
  | { readonly op: "late"; readonly early: Program; readonly meanwhile: Program }
  | { readonly op: "scope"; readonly timeoutMs: number | null; readonly body: Program }
  | { readonly op: "shield"; readonly body: Program }
  /** Goes on after what `body` throws. */
  | { readonly op: "try"; readonly body: Program }
  | { readonly op: "finally"; readonly body: Program; readonly cleanup: Program }
  | { readonly op: "throw" };

export type BodyCommand = Extract<Command, { readonly op: "step" | "activity" }>;

export const messageCount = 3;

interface Budget {
  left: number;
}

const durations = [1, 20, 150, 900, 2500, 6000] as const;
const bodyDurations = [0, 0, 1, 15, 200, 1500] as const;

/** Draws a program of at most 20 commands, nested at most 3 deep.. */
export function drawProgram(prng: Prng): Program {
  const budget: Budget = { left: prng.int(1, 20) };
  const program: Command[] = [];
  while (budget.left > 0) program.push(drawCommand(prng, budget, 3));
  return program;
}

function drawBody(prng: Prng, budget: Budget, depth: number): Program {
  const body: Command[] = [drawCommand(prng, budget, depth)];
  for (let more = prng.int(0, 2); more > 0 && budget.left > 0; more--) body.push(drawCommand(prng, budget, depth));
  return body;
}

function drawCommand(prng: Prng, budget: Budget, depth: number): Command {
  budget.left--;
  const nested = depth > 0 && budget.left > 1;
  const kind = prng.weighted(nested ? [8, 5, 4, 4, 2, 2, 3, 2, 2, 3, 1, 3, 1, 0.3] : [8, 5, 4, 4, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0.3]);
  const inner = (): Program => drawBody(prng, budget, depth - 1);
  switch (kind) {
    case 0:
      return { op: "step", ...drawBodyShape(prng) };
    case 1:
      return { op: "activity", ...drawBodyShape(prng) };
    case 2:
      return { op: "sleep", ms: prng.pick(durations) };
    case 3:
      return {
        op: "receive",
        message: prng.int(0, messageCount - 1),
        timeoutMs: prng.chance(0.6) ? prng.pick(durations) : null,
        otherwise: prng.chance(0.7),
      };
    case 4:
      return {
        op: "receiveAny",
        messages: prng.pick([
          [0, 1],
          [1, 2],
          [0, 1, 2],
        ]),
        timeoutMs: prng.chance(0.6) ? prng.pick(durations) : null,
      };
    case 5:
      return { op: "pure" };
    case 6:
    case 7:
      return { op: kind === 6 ? "all" : "race", branches: Array.from({ length: prng.int(2, 3) }, inner) };
    case 8:
      return { op: "late", early: inner(), meanwhile: inner() };
    case 9:
      return { op: "scope", timeoutMs: prng.chance(0.7) ? prng.pick(durations) : null, body: [{ op: "pure" }, ...inner()] };
    case 10:
      return { op: "shield", body: inner() };
    case 11:
      return { op: "try", body: inner() };
    case 12:
      return { op: "finally", body: inner(), cleanup: inner() };
    default:
      return { op: "throw" };
  }
}

function drawBodyShape(prng: Prng): Omit<BodyCommand, "op"> {
  const attempts = prng.int(1, 4);
  return {
    attempts,
    fails: prng.chance(0.6) ? 0 : prng.int(1, 4),
    backoffMs: prng.pick([1, 50, 300, 1000]),
    bodyMs: prng.pick(bodyDurations),
    timeoutMs: prng.chance(0.1) ? prng.pick([10, 500, 3000]) : null,
  };
}

/** How many messages of each name the program can take at most. */
export function receivesOf(program: Program): readonly number[] {
  const counts = new Array<number>(messageCount).fill(0);
  for (const command of commandsOf(program)) {
    if (command.op === "receive") counts[command.message] = (counts[command.message] ?? 0) + 1;
    if (command.op === "receiveAny") for (const message of command.messages) counts[message] = (counts[message] ?? 0) + 1;
  }
  return counts;
}

/** The commands of a program and of all its parts. */
export function commandsOf(program: Program): readonly Command[] {
  return program.flatMap((command) => [command, ...partsOf(command).flatMap(commandsOf)]);
}

function partsOf(command: Command): readonly Program[] {
  switch (command.op) {
    case "all":
    case "race":
      return command.branches;
    case "late":
      return [command.early, command.meanwhile];
    case "scope":
    case "shield":
    case "try":
      return [command.body];
    case "finally":
      return [command.body, command.cleanup];
    case "step":
    case "activity":
    case "sleep":
    case "receive":
    case "receiveAny":
    case "pure":
    case "throw":
      return [];
    default:
      return command satisfies never;
  }
}
