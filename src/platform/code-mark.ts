import { AsyncLocalStorage } from "node:async_hooks";

/** What workflow code did that a replay would not repeat. */
export interface AmbientUse {
  /** What was called, as a person would write it: `Date.now()`. */
  readonly call: string;
  /** What to write instead. */
  readonly instead: string;
  /** The call's stack, innermost frame of the caller first. */
  readonly stack: string;
  /** The caller is a package or the runtime itself, not code that the user can easily change. */
  readonly fromPackage: boolean;
  /** The call does something beyond its answer: carrying it out would be felt outside. */
  readonly effect: boolean;
}

/** A rejection in workflow code that had no handler when the microtasks had run. It may get one later. */
export interface LateRejection {
  readonly reason: unknown;
  handled: boolean;
  /** How many workflows it may belong to, less those that have ended: 1 where the runtime says whose code it came from. */
  suspects: number;
}

/** The workflow that a piece of code belongs to. */
export interface WorkflowMark {
  /** Answers whether the call is to be carried out all the same. */
  onAmbientUse(use: AmbientUse): boolean;
  onLateRejection(rejection: LateRejection): void;
}

const body = Symbol("body of a step or activity");

/**
 * Says to whom the code that is running belongs, through every await: to a workflow, to the body of a step or activity, or to neither.
 * One for all engines of the process, since what asks it (patched globals, the process's rejections) is there once as well.
 */
const storage = new AsyncLocalStorage<WorkflowMark | typeof body | undefined>();

/** Runs `call` as code of a workflow. */
export const runMarked = (mark: WorkflowMark, call: () => void): void => storage.run(mark, call);

/** Runs `call` as the body of a step or activity. */
export const runBody = (call: () => void): void => storage.run(body, call);

/** Runs `call` as code of nobody's: what the engine does next must not count as code of the workflow that happened to set it off. */
export function runUnmarked(call: () => void): void {
  if (storage.getStore() === undefined) call();
  // Not `exit`: that takes the hooks of Node 20 and 22 down and puts them up again.
  else storage.run(undefined, call);
}

export const insideBody = (): boolean => storage.getStore() === body;

export function currentWorkflow(): WorkflowMark | undefined {
  const mark = storage.getStore();
  return mark === body ? undefined : mark;
}
