/** Bodies ran for what is in the history, after it was, and what was recorded is what one of them gave. */
import type { Execution } from "./effect-log.js";
import type { FinalOptions, RestingRun } from "./final-checks.js";
import { commandsIn, type RunModel } from "./models.js";

export function checkBodies(options: FinalOptions, { row, model, replayed }: RestingRun): void {
  const { witness, tally } = options;
  const { observed, seenAtIssue } = replayed;
  const executions = witness.effects.executions.filter((execution) => execution.runId === row.runId);
  const successes = new Map<string, number>();
  const once = new Set<string>();
  for (const execution of executions) {
    const what = `run ${row.key}: ${execution.kind} ${execution.path} #${execution.id} by ${execution.processName}`;
    if (execution.attempt < 1 || execution.attempt > execution.attemptsMax)
      witness.violate("I8", `${what} is attempt ${execution.attempt} of ${execution.attemptsMax}`);
    if (execution.outcome === "succeeded") successes.set(execution.path, (successes.get(execution.path) ?? 0) + 1);
    if (execution.once) {
      const attempt = `${execution.path} ${execution.attempt}`;
      if (once.has(attempt)) witness.violate("once", `${what}: attempt ${execution.attempt} ran twice, and may run once`);
      once.add(attempt);
    }
    if (execution.kind !== "step") continue;
    const seen = seenAtIssue.get(execution.path);
    if (seen === undefined) witness.violate("I14", `${what} ran, and the history does not have it`);
    else if (seen !== execution.seen) witness.violate("I3", `${what} ran on values that are not in the history`);
  }
  checkRetryTimes(options, model, executions);
  checkCompensations(options, { row, model, replayed }, executions);
  for (const count of successes.values()) if (count > 1) tally.count("ranAgain");
  if (once.size > 0) tally.count("once");
  if ([...observed.values()].some((value) => value.includes("outcome_unknown") || value.includes("begun and never reported")))
    tally.count("once:unknown");
  for (const [path, value] of observed) checkResult(options, row.runId, path, value);
  if (model.status !== "completed") return;
  if ([...observed.values()].some((value) => value.endsWith("early"))) witness.violate("I17", `run ${row.key}: a sleep ended early`);
}

/** What was recorded is what an execution of it gave, or somebody outside to whom an execution left it. */
function checkResult({ witness }: FinalOptions, runId: string, path: string, value: string): void {
  const [, kind, id] = /^([xt])(\d+)(?:\.\d+)?$/.exec(value) ?? [];
  if (id === undefined) return;
  const execution = witness.effects.executions[Number(id) - 1];
  const isOurs = execution?.runId === runId && execution.path === path;
  const wasGiven =
    kind === "x"
      ? execution?.outcome === "succeeded"
      : witness.finishes.some((finish) => finish.value === value && !finish.fails && finish.outcome !== "refused");
  if (!isOurs || !wasGiven)
    witness.violate("I8", `run ${runId}: ${path} was recorded with ${value}, which is not what an execution of it gave`);
}

/** No attempt of a step began before the time that the failure of the one before it was recorded with. */
function checkRetryTimes({ witness, startMs, toleranceMs }: FinalOptions, model: RunModel, executions: readonly Execution[]): void {
  const commands = commandsIn(model);
  for (const envelope of model.envelopes) {
    if (envelope.kind !== "attempt_failed") continue;
    const path = /^step (.*)$/.exec(commands[envelope.command - 1]?.[1] ?? "")?.[1];
    for (const next of executions) {
      if (next.kind !== "step" || next.path !== path || next.attempt !== envelope.attempt + 1) continue;
      const earlyMs = envelope.retryAt - (startMs + next.startedAt);
      if (earlyMs > toleranceMs)
        witness.violate("I17", `run ${model.key}: attempt ${next.attempt} of step ${path} began ${earlyMs} ms early`);
    }
  }
}

/** After a failure or cancel all that was registered runs, the last first and one after the other; otherwise nothing does. */
function checkCompensations(
  { witness, tally }: FinalOptions,
  { row, model, replayed }: RestingRun,
  executions: readonly Execution[],
): void {
  const { registered, registeredAtEnd } = replayed;
  const issued = commandsIn(model).flatMap(([, name], index) =>
    name.startsWith("undo ") ? [{ path: name.slice(5), number: index + 1 }] : [],
  );
  const paths = issued.map(({ path }) => path);
  const what = `run ${row.key} (${row.status})`;
  if (issued.length > 0) tally.count("compensated");
  if (row.status === "terminated") return;
  if (registeredAtEnd === null) {
    if (issued.length > 0) witness.violate("undo", `${what} did not fail, and undid ${paths.join(", ")}`);
    if (executions.some(({ kind }) => kind === "compensation")) witness.violate("undo", `${what} undid something without a word`);
    return;
  }
  // Other branches may register more while the first are being undone.
  const expected = registered.slice(0, Math.max(registeredAtEnd, issued.length)).toReversed();
  if (expected.join() !== paths.join()) witness.violate("undo", `${what} undid ${paths.join(", ")} of ${expected.join(", ")}`);
  let lastLine = 0;
  for (const { path, number } of issued) {
    const issuedIn = lineIssuing(model, number);
    if (issuedIn < lastLine) witness.violate("undo", `${what} undid ${path} before the one after it was done`);
    lastLine = model.envelopes.findIndex(
      (envelope) => "command" in envelope && envelope.command === number && envelope.kind.startsWith("operation_"),
    );
    if (lastLine === -1) witness.violate("undo", `${what} ended before ${path} was undone`);
  }
}

function lineIssuing(model: RunModel, number: number): number {
  let count = 0;
  return model.envelopes.findIndex((envelope) => (count += "commands" in envelope ? envelope.commands.length : 0) >= number);
}
