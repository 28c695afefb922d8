/** How a run ends: decided as data. */
import type { AnyWorkflow } from "../api/definition-types.js";
import type { NextState } from "../backend/operations.js";
import type { NewRun, RunStatus } from "../backend/records.js";
import type { TerminalEnvelope } from "../core/events.js";
import { mergeRetry, nextRetry, planRetry } from "../core/retry.js";
import type { TurnState } from "../core/turn-result.js";
import { CancelledError, PerdureError, RunFailedError } from "../errors.js";
import { newRunOf } from "./new-run.js";
import { payloadFields } from "./payload-fields.js";
import { deadlineOf, readRunOptions, type RunOptions } from "./run-options.js";

/** The state of a turn after which the code does not go on. */
export type FinalState = Extract<TurnState, { readonly state: "completed" | "failed" | "cancelled" | "continued" }>;

/** A text that is to be stored as payload of a field. */
export interface Draft {
  readonly text: string;
  readonly field: string;
}

export interface RunEnd {
  readonly envelope: TerminalEnvelope;
  /** The payload of the last line. */
  readonly last: Draft | null;
  readonly next:
    | Extract<NextState, { readonly state: "ended" }>
    /** `input` becomes the payload of the run that goes on. */
    | { readonly state: "continued"; readonly run: NewRun; readonly input: Draft; readonly dueAt: number | null };
}

export interface EndingRun {
  readonly definition: AnyWorkflow;
  readonly workflowId: string;
  readonly options: RunOptions;
  readonly deadlineAt: number | null;
  /** May the run be begun again after a failure? */
  readonly mayContinue: boolean;
  /** The encoded input, for that. */
  inputText: string;
}

export interface EndContext {
  readonly encodeError: (error: unknown) => string;
  /** Are payloads readable where they are stored? */
  readonly isVisible: boolean;
  /** Was the run asked to stop? Then it is not begun again, whatever it failed of. */
  readonly isCancelled: boolean;
  readonly nowMs: number;
  readonly runId: () => string;
  readonly random: () => number;
}

export function endOf(final: FinalState, run: EndingRun, context: EndContext): RunEnd {
  switch (final.state) {
    case "completed":
      return ended("run_completed", "completed", { text: final.result, field: payloadFields.result });
    case "cancelled":
      return ended("run_cancelled", "cancelled", { text: context.encodeError(final.error), field: payloadFields.error });
    case "failed": {
      const again = retried(final.error, run, context);
      return again ?? ended("run_failed", "failed", { text: context.encodeError(final.error), field: payloadFields.error });
    }
    case "continued": {
      const version = final.version ?? run.definition.version;
      // A chain that goes on because its code says so counts its attempts anew.
      const { attempt: _, ...options } = run.options;
      const next = follower({ ...run, definition: { ...run.definition, version }, options }, final.input, context);
      return { envelope: { kind: "run_continued", runId: next.runId }, last: null, next: continued(next, final.input, null) };
    }
    default:
      return final satisfies never;
  }
}

/** Another run of the chain after a failure, if the retry policy wants one and the deadline leaves the time. */
function retried(error: unknown, run: EndingRun, context: EndContext): RunEnd | undefined {
  const { definition, options, deadlineAt } = run;
  const policy = mergeRetry(definition.options.retry, options.retry);
  if (policy === undefined || context.isCancelled) return undefined;
  const attempt = options.attempt ?? 1;
  const next = nextRetry(planRetry(policy, `workflow "${definition.name}"`), attempt, error, context.random());
  if (next === "stop" || (deadlineAt !== null && context.nowMs + next.delayMs >= deadlineAt)) return undefined;
  const text = run.inputText;
  const again = { ...follower({ ...run, options: { ...options, attempt: attempt + 1 } }, text, context), deadlineAt };
  return {
    envelope: { kind: "run_continued", runId: again.runId, retry: true },
    last: { text: context.encodeError(error), field: payloadFields.error },
    next: continued(again, text, context.nowMs + next.delayMs),
  };
}

function follower({ definition, workflowId, options }: EndingRun, inputText: string, { isVisible, nowMs, runId }: EndContext): NewRun {
  const deadlineAt = deadlineOf(options, nowMs);
  return newRunOf({ definition, workflowId, runId: runId(), visibleText: isVisible ? inputText : null, deadlineAt, options });
}

const continued = (run: NewRun, text: string, dueAt: number | null): RunEnd["next"] => ({
  state: "continued",
  run,
  input: { text, field: payloadFields.input },
  dueAt,
});

const ended = (
  kind: Exclude<TerminalEnvelope["kind"], "run_continued" | "run_terminated">,
  status: "completed" | "failed" | "cancelled",
  last: Draft,
): RunEnd => ({ envelope: { kind }, last, next: { state: "ended", status } });

/** What whoever waits for the result of a run is thrown. */
export function endError(status: RunStatus, id: string, cause: unknown): Error {
  switch (status) {
    case "failed":
      return new RunFailedError(`Run "${id}" failed: ${cause instanceof Error ? cause.message : String(cause)}`, {
        cause,
        details: { id },
      });
    case "cancelled":
      return new CancelledError(cause instanceof Error ? cause.message : `Run "${id}" was cancelled.`, { cause, details: { id } });
    default:
      return new PerdureError("terminated", cause instanceof Error ? cause.message : `Run "${id}" was terminated.`, {
        cause,
        details: { id },
      });
  }
}

/** What is needed of a run to end it; `inputText` is kept only if another run may have to begin with it. */
export function endingRunOf(
  definition: AnyWorkflow,
  run: { readonly workflowId: string; readonly deadlineAt: number | null; readonly options: string | null },
): EndingRun {
  const options = readRunOptions(run.options);
  const mayContinue = definition.options.retry !== undefined || options.retry !== undefined;
  return { definition, workflowId: run.workflowId, options, deadlineAt: run.deadlineAt, mayContinue, inputText: "" };
}
