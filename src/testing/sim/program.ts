/** A workflow as data: what the one workflow function of the simulator (interpreter.ts) does. Plain JSON, so it is also the run's input. */
export type Program = readonly Command[];

export type Command =
  | StepCommand
  | ActivityCommand
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
  /** Throws unless the run was begun again more often than this. */
  | { readonly op: "throw"; readonly attempts: number }
  | ChildCommand
  | { readonly op: "send"; readonly target: string; readonly message: number; readonly key: string | null }
  | { readonly op: "cancelRun"; readonly target: string }
  | { readonly op: "publish" | "attribute" | "write" | "patched"; readonly name: number }
  | { readonly op: "on"; readonly update: number; readonly handler: "answer" | "step" | "sleep" | "throw"; readonly validates: boolean }
  | { readonly op: "compensate"; readonly fails: number; readonly attempts: number; readonly bodyMs: number }
  /** Goes on as another run; only at the very end of a program. */
  | { readonly op: "continue"; readonly program: Program };

interface BodyShape {
  readonly fails: number;
  readonly attempts: number;
  readonly backoffMs: number;
  readonly bodyMs: number;
  readonly timeoutMs: number | null;
  /** How many chunks it writes to the stream, and whether it goes on behind those of earlier attempts. */
  readonly writes: number;
  readonly resumes: boolean;
}

export interface StepCommand extends BodyShape {
  readonly op: "step";
  readonly once: boolean;
}

export interface ActivityCommand extends BodyShape {
  readonly op: "activity";
  readonly totalMs: number | null;
  readonly queuedMs: number | null;
  readonly heartbeatMs: number | null;
  readonly beats: number;
  readonly onCancel: "request" | "wait" | "abandon";
  readonly local: boolean;
  /** Is its outcome left to somebody outside, and when does that come? */
  readonly later: { readonly afterMs: number; readonly fails: boolean } | null;
}

export type BodyCommand = StepCommand | ActivityCommand;

export interface ChildCommand {
  readonly op: "child";
  readonly id: string | null;
  readonly onParentClose: "cancel" | "terminate" | "abandon";
  readonly attempts: number;
  readonly program: Program;
  /** What is done with it while it runs; null: it is merely waited for. */
  readonly handled: { readonly message: number | null; readonly cancels: boolean; readonly timeoutMs: number | null } | null;
}

export const messageCount = 3;
export const updateCount = 2;
export const nameCount = 2;

/** How many messages of each name the program can take at most, the runs that it goes on as included; not those of its children. */
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
    case "continue":
      return [command.program];
    case "step":
    case "activity":
    case "sleep":
    case "receive":
    case "receiveAny":
    case "pure":
    case "throw":
    case "child":
    case "send":
    case "cancelRun":
    case "publish":
    case "attribute":
    case "write":
    case "patched":
    case "on":
    case "compensate":
      return [];
    default:
      return command satisfies never;
  }
}
