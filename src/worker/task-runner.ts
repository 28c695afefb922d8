import type { ActivityContext } from "../api/context-types.js";
import type { AnyActivity } from "../api/definition-types.js";
import type { ClaimFor, FinishTaskOperation } from "../backend/operations.js";
import type { ClaimedRun, ClaimedTask, Payload, TaskKey, WorkerKey } from "../backend/records.js";
import { crashesMax } from "../core/defaults.js";
import { PerdureError } from "../errors.js";
import type { Definitions } from "./definitions.js";
import type { DriverHost } from "./driver-host.js";
import { encodeOutcome, type EncodedOutcome } from "./encode-outcome.js";
import { payloadFields } from "./payload-fields.js";
import { Body } from "./step-runner.js";
import { readTaskOptions } from "./task-options.js";

export interface TaskRunnerOptions {
  readonly host: DriverHost;
  readonly definitions: Definitions;
  /** How many activities run at once. */
  readonly concurrency: number;
  /** Parses the input by the definition's schema, if it has one. */
  readonly parseInput: (definition: AnyActivity, input: unknown) => unknown;
  /** For claiming the run in the commit that ends its activity, if this worker could drive it. */
  readonly claimFor: () => ClaimFor | null;
  readonly onClaimed: (run: ClaimedRun, worker: WorkerKey) => void;
  /** A run of this worker got mail. */
  readonly onMail: (runKey: number, position: number) => void;
  readonly onSlotFree: () => void;
}

/** Executes queued activities: claims them, runs their bodies, and moves each outcome into the inbox of its run. */
export class TaskRunner {
  readonly #options: TaskRunnerOptions;
  readonly #running = new Map<TaskKey, Body>();

  constructor(options: TaskRunnerOptions) {
    this.#options = options;
  }

  get running(): ReadonlyMap<TaskKey, Body> {
    return this.#running;
  }

  /** Claims what fits. Answers in how many ms there will be more, as far as it knows. */
  async poll(worker: WorkerKey): Promise<number | null> {
    const { host, definitions, concurrency } = this.#options;
    const free = concurrency - this.#running.size;
    if (free <= 0 || definitions.activities.size === 0 || host.draining) return null;
    const limit = Math.min(free, 100);
    const { tasks, nextDueAt } = await host.store.claimTasks({ worker, routes: [...definitions.activities.keys()], limit });
    // Lost while the answer was on its way: others have these by now, or will.
    if (!host.holds(worker)) return null;
    for (const task of tasks) this.#run(task);
    if (tasks.length === limit && concurrency > this.#running.size) return 0;
    return nextDueAt === null ? null : Math.max(1, nextDueAt - host.store.now());
  }

  /** Aborts a task's body and forgets it: it was withdrawn, or the lease is lost. */
  abort(key: TaskKey, reason: Error): void {
    const body = this.#running.get(key);
    this.#running.delete(key);
    body?.abort(reason);
  }

  abortAll(reason: Error): void {
    for (const key of [...this.#running.keys()]) this.abort(key, reason);
  }

  #run(task: ClaimedTask): void {
    const { host, definitions, parseInput } = this.#options;
    const definition = definitions.activities.get(task.name);
    if (definition === undefined) return;
    const context = { workflowId: task.workflowId, field: payloadFields.operation(task.command) };
    const finish = ({ payload, failure, unsealed }: EncodedOutcome): void => {
      // The task may have been taken away from here and come back: then another body of it is running.
      if (this.#running.get(task.key) === body && this.#running.delete(task.key)) {
        if (unsealed === undefined) void this.#finish(task, failure === undefined ? "activity_completed" : "activity_failed", payload);
        // Left as it is: the housekeeper finds that nobody here runs it and gives it back, so that it is tried again after a while.
        else host.onTrouble(`The outcome of activity "${task.name}" cannot be stored; it will run again.`, unsealed.error);
      }
      this.#options.onSlotFree();
    };
    const execute = async (io: ActivityContext): Promise<unknown> => {
      if (task.crashCount >= crashesMax) {
        throw new PerdureError(
          "poisoned",
          `Activity "${task.name}" ended its process ${task.crashCount} times in a row and is not run again.`,
          { details: { retryable: false } },
        );
      }
      const inputContext = { workflowId: task.workflowId, field: payloadFields.activityInput(task.command) };
      const text = host.codec.sync ? host.codec.openSync(task.input, inputContext) : await host.codec.open(task.input, inputContext);
      return definition.run(await parseInput(definition, host.codec.decode(text)), io);
    };
    const body: Body = new Body({
      runtime: host.runtime,
      attempt: task.attempt,
      idempotencyKey: `${task.runId}/${task.command}`,
      timeoutMs: readTaskOptions(task.options).timeoutMs,
      what: `activity "${task.name}"`,
      run: execute,
      onDone: (outcome) =>
        encodeOutcome({
          codec: host.codec,
          outcome,
          what: `the result of activity "${task.name}"`,
          context,
          done: finish,
        }),
    });
    this.#running.set(task.key, body);
    body.start();
  }

  async #finish(task: ClaimedTask, kind: FinishTaskOperation["kind"], payload: Payload): Promise<void> {
    const { host, claimFor, onClaimed, onMail } = this.#options;
    // Sent again after a lost reply: the task is gone then if the first one got through, and its outcome is recorded once either way.
    const operation = { type: "finish_task", task: { key: task.key, epoch: task.epoch }, kind, payload } as const;
    let claimant: ClaimFor | null = null;
    const outcome = await host
      .persistently(() => host.commits.submit({ ...operation, claimFor: (claimant = claimFor()) }))
      .catch((error: unknown) => host.onTrouble(`The outcome of activity "${task.name}" was refused; it will run again.`, error));
    if (outcome?.status !== "finished") return;
    if (outcome.claimed !== null) onClaimed(outcome.claimed, (claimant as ClaimFor | null)?.worker ?? 0);
    else if (outcome.owner === host.worker) onMail(outcome.runKey, outcome.position);
  }
}
