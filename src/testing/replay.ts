import type { AnyWorkflow } from "../api/definition-types.js";
import type { HistoryExport } from "../api/history-types.js";
import type { ErrorClass } from "../api/shape-types.js";
import { codecChain } from "../codec/codec-chain.js";
import { jsonCodec } from "../codec/json-codec.js";
import { isTerminal, readEnvelope, type TerminalEnvelope } from "../core/events.js";
import { replayHistory, type HistoryLine } from "../core/replay.js";
import type { TurnState } from "../core/turn-result.js";
import { PerdureError } from "../errors.js";
import { systemRuntime } from "../platform/runtime.js";
import { openGuard } from "../worker/guard.js";
import { interceptorsOf } from "../worker/interceptors.js";
import { decodeLine, makeMachine } from "../worker/run-loader.js";

/** Options of {@link replay}. */
export interface ReplayOptions {
  /** Classes of your errors, as they are given to `launch`. */
  readonly errors?: readonly ErrorClass[] | undefined;
  /** Notices clocks, randomness, timers and fetch in the workflow's code. Default: on. */
  readonly guard?: boolean | undefined;
}

/**
 * Replays a recorded history with a workflow's code, and throws if the code does not do what the history says: for CI, with histories that were written to
 * files by `handle.export()`. No store is needed, and no body of a step or activity runs.
 * @throws PerdureError `nondeterminism`: `details.report` shows both sides and the line of the code · `undecodable` · `invalid_argument`
 * @example await replay(JSON.parse(await readFile("histories/order-17.json", "utf8")), fulfil);
 */
export async function replay(history: HistoryExport, workflow: AnyWorkflow, options: ReplayOptions = {}): Promise<void> {
  if (history?.format !== "perdure-history-1")
    throw new PerdureError(
      "invalid_argument",
      "replay needs a history that was made by handle.export(), of a format that this version knows.",
    );
  if (history.name !== workflow.name)
    throw new PerdureError("invalid_argument", `The history is of workflow "${history.name}", not of "${workflow.name}".`);
  const codec = codecChain(jsonCodec({ errors: options.errors ?? [], limits: {} }));
  const quiet = (): void => undefined;
  const guard = openGuard({ ambient: options.guard ?? true, logger: { debug: quiet, info: quiet, warn: quiet, error: quiet } });
  try {
    await judge(history, workflow, codec, guard);
  } finally {
    guard.close();
  }
}

/**
 * Replays many histories, each with the workflow of its name, and answers what does not fit.
 * @example expect(await replayAll(histories, [fulfil, refund])).toEqual([]);
 */
export async function replayAll(
  histories: Iterable<HistoryExport> | AsyncIterable<HistoryExport>,
  workflows: readonly AnyWorkflow[],
  options: ReplayOptions = {},
): Promise<readonly { readonly id: string; readonly runId: string; readonly error: unknown }[]> {
  const failures: { readonly id: string; readonly runId: string; readonly error: unknown }[] = [];
  for await (const history of histories) {
    const { id, runId, name, version } = history;
    const ofName = workflows.filter((workflow) => workflow.name === name);
    const workflow = ofName.find((one) => one.version === version) ?? ofName.at(-1);
    try {
      if (workflow === undefined)
        throw new PerdureError("invalid_argument", `No workflow "${name}" was given to replay this history with.`);
      await replay(history, workflow, options);
    } catch (error) {
      failures.push({ id, runId, error });
    }
  }
  return failures;
}

async function judge(
  history: HistoryExport,
  workflow: AnyWorkflow,
  codec: ReturnType<typeof codecChain>,
  guard: ReturnType<typeof openGuard>,
): Promise<void> {
  const runtime = systemRuntime();
  const { id, runId, name, version, attempt, headers, deadlineAt = null } = history;
  const facts = { id, runId, name, version, attempt, headers, deadlineAt };
  const machine = makeMachine({ codec, guard, interceptors: interceptorsOf([]) }, workflow, facts, () => undefined);
  const lines = history.lines.map(({ seq, at, event, payload }): HistoryLine => ({
    seq,
    at,
    envelope: readEnvelope(event),
    text: payload,
  }));
  const state = await replayHistory({
    machine,
    lines,
    decode: (line) => decodeLine(codec, line),
    drain: (callback) => runtime.drain(callback),
    breathe: (callback) => runtime.yieldToLoop(() => runtime.drain(callback)),
  });
  const divergence = divergenceOf(state, lines, machine.seq);
  if (divergence !== undefined) {
    throw new PerdureError(
      "nondeterminism",
      `The code of workflow "${name}" does not fit the history of run "${id}": ${divergence.message}`,
      {
        details: { report: divergence.report },
      },
    );
  }
}

/** How the code ends that a terminal line was written for. What is ended by force ends anywhere. */
const ends: Readonly<Record<TerminalEnvelope["kind"], readonly TurnState["state"][]>> = {
  run_completed: ["completed"],
  run_failed: ["failed"],
  run_cancelled: ["cancelled"],
  run_continued: ["continued", "failed"],
  run_terminated: ["waiting", "completed", "failed", "cancelled", "continued"],
};

function divergenceOf(
  state: TurnState,
  lines: readonly HistoryLine[],
  seq: number,
): { readonly message: string; readonly report: string } | undefined {
  if (state.state === "diverged") return state.divergence;
  const last = lines.at(-1)?.envelope;
  const recorded = last !== undefined && isTerminal(last) ? last : undefined;
  // The code of an ended run ends with the last event before its terminal line.
  const isThrough = state.state === "waiting" || seq >= lines.length - (recorded === undefined ? 0 : 1);
  const expected = recorded === undefined ? ["waiting"] : ends[recorded.kind];
  if (isThrough && expected.includes(state.state)) return undefined;
  const message = `at event ${seq} the code was ${state.state}, but the history ${recorded === undefined ? "goes on waiting there" : `ends with ${recorded.kind} at event ${lines.length}`}.`;
  return { message, report: message };
}
