import type { ClaimFor, FinishTaskOperation } from "../backend/operations.js";
import type { ClaimedRun, ClaimedTask, InboxRecord, Payload, TaskKey, WorkerKey } from "../backend/records.js";
import { crashesMax } from "../core/defaults.js";
import { CancelledError, PerdureError } from "../errors.js";
import { ActivityIo, completedLater } from "./activity-io.js";
import { writeToken } from "./activity-token.js";
import { writeFailure } from "./attempt-failure.js";
import type { Definitions } from "./definitions.js";
import type { DriverHost } from "./driver-host.js";
import { encodeOutcome, type EncodedOutcome } from "./encode-outcome.js";
import type { Errands } from "./errands.js";
import { Heartbeats } from "./heartbeats.js";
import { payloadFields } from "./payload-fields.js";
import { errandName, errandRoute } from "./routes.js";
import { Body, type BodyIo, type BodyOutcome } from "./step-runner.js";
import type { StreamWriter } from "./stream-writer.js";
import { readTaskOptions } from "./task-options.js";

export interface TaskRunnerOptions {
  readonly host: DriverHost;
  readonly definitions: Definitions;
  readonly errands: Errands;
  /** How many activities run at once. */
  readonly concurrency: number;
  readonly streamsOf: (task: ClaimedTask) => StreamWriter;
  /** For claiming the run in the commit that ends its activity, if this worker could drive it. */
  readonly claimFor: () => ClaimFor | null;
  readonly onClaimed: (run: ClaimedRun, worker: WorkerKey, arrived: InboxRecord) => void;
  /** A run of this worker got mail. */
  readonly onMail: (runKey: number, position: number) => void;
  readonly onSlotFree: () => void;
}

interface RunningTask {
  readonly body: Body;
  readonly heartbeats: Heartbeats;
  readonly isErrand: boolean;
}

/** How many tasks are claimed at once, at most. */
const claimMax = 100;

/** Executes queued activities: claims them, runs their bodies, and moves each outcome into the inbox of its run. */
export class TaskRunner {
  readonly #options: TaskRunnerOptions;
  readonly #running = new Map<TaskKey, RunningTask>();

  constructor(options: TaskRunnerOptions) {
    this.#options = options;
  }

  get running(): ReadonlyMap<TaskKey, unknown> {
    return this.#running;
  }

  /** Claims what fits. Answers in how many ms there will be more, as far as it knows. */
  async poll(worker: WorkerKey): Promise<number | null> {
    const { host, definitions } = this.#options;
    if (host.draining) return null;
    // Errands are done also where every slot is taken: an activity may be waiting for the very run that one of them is to tell.
    const free = this.#free;
    const routes = free > 0 ? definitions.taskRoutes : [errandRoute];
    const limit = free > 0 ? Math.min(free, claimMax) : claimMax;
    const { tasks, nextDueAt } = await host.store.claimTasks({ worker, routes, limit });
    // Lost while the answer was on its way: others have these by now, or will.
    if (!host.holds(worker)) return null;
    for (const task of tasks) this.#run(task);
    if (tasks.length === limit && (free <= 0 || this.#free > 0)) return 0;
    return nextDueAt === null ? null : Math.max(1, nextDueAt - host.store.now());
  }

  /** How many more activities may run here. */
  get #free(): number {
    let activities = 0;
    for (const { isErrand } of this.#running.values()) if (!isErrand) activities++;
    return this.#options.concurrency - activities;
  }

  /** Aborts a task's body and forgets it: it was withdrawn, or the lease is lost. */
  abort(key: TaskKey, reason: Error): void {
    const running = this.#running.get(key);
    this.#running.delete(key);
    running?.heartbeats.stop();
    running?.body.abort(reason);
  }

  /** Tells a task's body to stop, and goes on waiting for what it makes of it. */
  ask(key: TaskKey): void {
    this.#running.get(key)?.body.ask(toStop());
  }

  abortAll(reason: Error): void {
    for (const key of [...this.#running.keys()]) this.abort(key, reason);
  }

  #run(task: ClaimedTask): void {
    const { host, streamsOf } = this.#options;
    const heartbeats = new Heartbeats({
      task,
      runtime: host.runtime,
      codec: host.codec,
      commits: host.commits,
      onAnswer: (answer) => (answer === "cancel" ? this.ask(task.key) : this.abort(task.key, gone())),
      onTrouble: (error) => host.onTrouble(`A heartbeat of activity "${task.name}" was not stored.`, error),
    });
    const isErrand = task.name === errandName;
    const body: Body = new Body({
      runtime: host.runtime,
      attempt: task.attempt,
      idempotencyKey: `${task.runId}/${task.command}`,
      timeoutMs: isErrand ? null : readTaskOptions(task.options).timeoutMs,
      what: isErrand ? "an errand" : `activity "${task.name}"`,
      command: task.command,
      streamsOf: () => streamsOf(task),
      run: (io) => (isErrand ? this.#options.errands.run(task) : this.#execute(task, io, heartbeats)),
      onDone: (outcome) => this.#done(task, body, heartbeats, outcome, isErrand),
    });
    this.#running.set(task.key, { body, heartbeats, isErrand });
    body.start();
    if (task.cancelRequested) this.ask(task.key);
  }

  async #execute(task: ClaimedTask, io: BodyIo, heartbeats: Heartbeats): Promise<unknown> {
    const { host } = this.#options;
    const { workflowId, runId, command, attempt, name } = task;
    // Told to stop before anybody began: there is nothing to stop.
    if (task.cancelRequested) throw toStop();
    if (task.crashCount >= crashesMax) {
      throw new PerdureError("poisoned", `Activity "${name}" ended its process ${task.crashCount} times in a row and is not run again.`, {
        details: { retryable: false },
      });
    }
    const open = (payload: Payload, field: string): Promise<string> | string =>
      host.codec.sync ? host.codec.openSync(payload, { workflowId, field }) : host.codec.open(payload, { workflowId, field });
    const input = host.codec.decode(await open(task.input, payloadFields.activityInput(command)));
    const details = task.details === null ? null : await open(task.details, payloadFields.details(command));
    // Until this attempt says something, what the one before said is the last that is known.
    heartbeats.details = details;
    const activityIo = new ActivityIo({
      io,
      token: writeToken({ workflowId, runId, command, attempt }),
      lastHeartbeat: details === null ? undefined : host.codec.decode(details),
      onHeartbeat: (told) => heartbeats.beat(told),
      mayCompleteLater: true,
    });
    return host.services.callActivity({
      name,
      workflowId,
      runId,
      headers: readTaskOptions(task.options).headers ?? {},
      input,
      io: activityIo,
    });
  }

  #done(task: ClaimedTask, body: Body, heartbeats: Heartbeats, outcome: BodyOutcome, isErrand: boolean): void {
    const { host } = this.#options;
    if (isErrand) {
      if (outcome.ok) this.#settle(task, body, () => this.#finish(task, "done", null));
      // Left as it is: the housekeeper finds that nobody here runs it and gives it back, so that it is tried again after a while.
      else this.#settle(task, body, () => host.onTrouble("What a run left to be done failed; it will be tried again.", outcome.error));
      return;
    }
    if (outcome.ok && outcome.value === completedLater) {
      const detach = (): Promise<unknown> => host.persistently(() => heartbeats.detach());
      return this.#settle(task, body, () =>
        detach().catch((error: unknown) =>
          host.onTrouble(`Activity "${task.name}" could not be left to others; it will run again.`, error),
        ),
      );
    }
    heartbeats.stop();
    encodeOutcome({
      codec: host.codec,
      outcome,
      what: `the result of activity "${task.name}"`,
      context: { workflowId: task.workflowId, field: payloadFields.operation(task.command) },
      asFailure: (error) => writeFailure(error, heartbeats.details),
      done: (encoded) => this.#settle(task, body, () => this.#deliver(task, encoded)),
    });
  }

  #settle(task: ClaimedTask, body: Body, then: () => unknown): void {
    // The task may have been taken away from here and come back: then another body of it is running.
    if (this.#running.get(task.key)?.body === body && this.#running.delete(task.key)) void then();
    this.#options.onSlotFree();
  }

  #deliver(task: ClaimedTask, { payload, failure, unsealed }: EncodedOutcome): void {
    if (unsealed === undefined) void this.#finish(task, failure === undefined ? "activity_completed" : "activity_failed", payload);
    else this.#options.host.onTrouble(`The outcome of activity "${task.name}" cannot be stored; it will run again.`, unsealed.error);
  }

  async #finish(
    { name, key, epoch, command, attempt }: ClaimedTask,
    kind: FinishTaskOperation["kind"],
    payload: Payload | null,
  ): Promise<void> {
    const { host, claimFor, onClaimed, onMail } = this.#options;
    // Sent again after a lost reply: the task is gone then if the first one got through, and its outcome is recorded once either way.
    const operation = { type: "finish_task", task: { key, epoch }, kind, payload } as const;
    let claimant: ClaimFor | null = null;
    const outcome = await host
      .persistently(() => host.commits.submit({ ...operation, claimFor: (claimant = claimFor()) }))
      .catch((error: unknown) => host.onTrouble(`The outcome of activity "${name}" was refused; it will run again.`, error));
    if (outcome?.status !== "finished") return;
    const { claimed, position } = outcome;
    if (claimed !== null && kind !== "done")
      onClaimed(claimed, (claimant as ClaimFor | null)?.worker ?? 0, {
        kind,
        name: "",
        command,
        attempt,
        payload,
        options: null,
        position,
      });
    else if (outcome.owner === host.worker) onMail(outcome.runKey, position);
  }
}

const toStop = (): CancelledError => new CancelledError("The activity was cancelled.");
const gone = (): PerdureError => new PerdureError("lease_lost", "The activity goes on elsewhere, or nobody waits for it any more.");
