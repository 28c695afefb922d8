/** Calls of ctx as commands: options read and checked, arguments encoded at once. */
import type {
  ActivityRef,
  ActivityTimeouts,
  AnyActivity,
  CallOptions,
  ChildOptions,
  StepOptions,
  WorkflowRef,
} from "../api/definition-types.js";
import { PerdureError } from "../errors.js";
import { checkKind, checkOptions } from "./check-options.js";
import { writeAttributes } from "./attributes.js";
import type { ActivityCommand, ChildCommand, StepCommand } from "./commands.js";
import { defaultQueue } from "./defaults.js";
import { parseDuration, type Duration } from "./duration.js";
import { checkName } from "./names.js";
import { checkStoredRetry, mergeRetry, planRetry } from "./retry.js";
import type { RunMachine } from "./run-machine.js";

export function checkStep(method: string, name: unknown, run: unknown, options: StepOptions | undefined): void {
  checkName(name, `the name of ctx.${method}`);
  if (typeof run !== "function")
    throw new PerdureError("invalid_argument", `ctx.${method}("${name}", …) takes a function, not ${typeof run}.`);
  checkOptions(options, `ctx.${method}("${name}")`, ["retry", "timeout", "atMostOnce"]);
}

export const stepOptions = (what: string, options: StepOptions | undefined): Pick<StepCommand, "retry" | "timeoutMs" | "atMostOnce"> => ({
  retry: planRetry(options?.retry, what),
  timeoutMs: msOf(options?.timeout, `the timeout of ${what}`),
  atMostOnce: options?.atMostOnce === true,
});

/** The options of an activity's definition and of its call are the same. */
export const callOptions = ["retry", "timeout", "queue", "onCancel", "local"];

/** @throws PerdureError `invalid_argument` · `invalid_duration` */
export function readCallOptions(
  what: string,
  defaults: CallOptions | undefined,
  call: CallOptions | undefined,
): Pick<ActivityCommand, "retry" | "timeoutMs" | "queuedMs" | "heartbeatMs" | "onCancel" | "local" | "queue"> & {
  readonly totalMs: number | null;
} {
  const limits = { ...limitsOf(defaults?.timeout, what), ...limitsOf(call?.timeout, what) };
  const onCancel = call?.onCancel ?? defaults?.onCancel ?? "request";
  if (onCancel !== "request" && onCancel !== "wait" && onCancel !== "abandon")
    throw new PerdureError(
      "invalid_argument",
      `The option onCancel of ${what} is ${String(onCancel)}. Give "request", "wait" or "abandon".`,
    );
  const queue = call?.queue ?? defaults?.queue;
  if (queue !== undefined) checkKind(queue, "queue", `The option queue of ${what}`, "made by queue(…)");
  return {
    retry: planRetry(mergeRetry(defaults?.retry, call?.retry), what),
    timeoutMs: msOf(limits.attempt, `the timeout of ${what}`),
    totalMs: msOf(limits.total, `timeout.total of ${what}`),
    queuedMs: msOf(limits.queued, `timeout.queued of ${what}`),
    heartbeatMs: msOf(limits.heartbeat, `timeout.heartbeat of ${what}`),
    queue: queue?.name ?? defaultQueue,
    onCancel,
    local: call?.local ?? defaults?.local ?? false,
  };
}

function limitsOf(timeout: CallOptions["timeout"], what: string): ActivityTimeouts {
  if (timeout === undefined || timeout === null || typeof timeout !== "object") return timeout === undefined ? {} : { attempt: timeout };
  checkOptions(timeout, `the option timeout of ${what}`, ["attempt", "total", "queued", "heartbeat"]);
  return timeout;
}

const msOf = (duration: Duration | undefined, what: string): number | null =>
  duration === undefined ? null : parseDuration(duration, what);

export function activityCommand(machine: RunMachine, def: ActivityRef<any, any>, [input, call]: [unknown, CallOptions?]): ActivityCommand {
  checkKind(def, "activity", "ctx.activity", "made by activity(…) or activityRef(…)");
  const { name } = def;
  const what = `activity "${name}"`;
  checkOptions(call, what, callOptions);
  const { totalMs, ...options } = readCallOptions(what, (def as Partial<AnyActivity>).options, call);
  return {
    kind: "activity",
    number: machine.nextNumber(),
    name,
    dueAt: totalMs === null ? null : machine.nowMs + totalMs,
    input: machine.encode(input, `the input of ${what}`),
    ...options,
    headers: machine.headersFor("activity", name),
  };
}

const childOptions = ["id", "timeout", "deadline", "retry", "queue", "onParentClose", "attributes"];

export function childCommand(
  machine: RunMachine,
  definition: WorkflowRef<any, any>,
  [input, options = {}]: [unknown, ChildOptions?],
): ChildCommand {
  checkKind(definition, "workflow", "ctx.child", "made by workflow(…) or workflowRef(…)");
  const { name } = definition;
  const what = `the child workflow "${name}"`;
  checkOptions(options, what, childOptions);
  const { timeout, deadline, retry, queue, onParentClose, attributes } = options;
  if (timeout !== undefined) parseDuration(timeout, `the timeout of ${what}`);
  if (retry !== undefined) checkStoredRetry(retry, what);
  if (queue !== undefined) checkKind(queue, "queue", `The option queue of ${what}`, "made by queue(…)");
  if (attributes !== undefined) writeAttributes(attributes, `the attributes of ${what}`);
  checkChoice(deadline, ["inherited", "detached"], `The option deadline of ${what}`);
  checkChoice(onParentClose, ["cancel", "terminate", "abandon"], `The option onParentClose of ${what}`);
  const number = machine.nextNumber();
  // Of this very run, not of its id: the run that continues it has children of its own.
  const id = options.id ?? `${machine.facts.runId}/${number}`;
  checkName(id, `the id of ${what}`);
  const headers = machine.headersFor("child", name);
  return {
    kind: "child",
    number,
    name,
    dueAt: null,
    definition,
    id,
    input: machine.encode(input, `the input of ${what}`),
    options,
    headers,
  };
}

function checkChoice(value: string | undefined, choices: readonly string[], what: string): void {
  if (value === undefined || choices.includes(value)) return;
  throw new PerdureError(
    "invalid_argument",
    `${what} is ${JSON.stringify(value)}. Give one of ${choices.map((one) => JSON.stringify(one)).join(", ")}.`,
  );
}
