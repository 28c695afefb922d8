import type { WorkflowContext } from "../api/context-types.js";

export interface RunFacts {
  readonly id: string;
  readonly runId: string;
  readonly name: string;
  readonly version: string | undefined;
  readonly attempt: number;
  readonly deadlineAt: number | null;
  /** What interceptors have the run carry along. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface MachineOptions {
  readonly run: (ctx: WorkflowContext, input: any) => unknown;
  readonly facts: RunFacts;
  /** Encodes an argument or result at once; throws `unserializable` with the path of the culprit. */
  readonly encode: (value: unknown, what: string) => string;
  /** Encodes anything that was thrown. Never throws. */
  readonly encodeError: (error: unknown) => string;
  /** The headers of an activity or child that the code asks for. Default: those of the run. */
  readonly outbound?:
    | ((call: { readonly kind: "activity" | "child"; readonly name: string }) => Record<string, string> | undefined)
    | undefined;
  /** Calls the workflow function or one of its abort listeners; the guard marks it as workflow code here. Default: calls it. */
  readonly enter?: ((call: () => void) => void) | undefined;
  /** Is the code that is running the body of a step or activity? Default: never. */
  readonly insideBody?: (() => boolean) | undefined;
  /** Told when the code is caught using ctx, returning or throwing outside of a turn: nothing else would wake the driver then. */
  readonly onFrozen?: (() => void) | undefined;
}
