/** Starts of runs and what is sent to them, by clients, workflows and errands alike: each can be sent again, so it is, until the store has answered. */
import type { Outcome, SendOperation, SendOutcome, StartOperation } from "../backend/operations.js";
import type { ClaimedRun, InboxItem, InboxRecord, NewRun, Payload, RunKey, RunTarget, TaskTarget, WorkerKey } from "../backend/records.js";
import { isPerdureError } from "../errors.js";
import type { GroupCommit } from "./group-commit.js";
import { isUnknownOutcome } from "./persist.js";

/** The worker of this process, as far as it can save a round by taking what was just written. */
export interface LocalWorker {
  readonly worker: WorkerKey;
  accepts(run: NewRun): boolean;
  startEagerly(start: EagerStart): Promise<Outcome<StartOperation>>;
  reclaim(key: RunKey, epoch: number): Promise<void>;
  onRunsDue(): void;
  claimFor(): SendOperation["claimFor"];
  takeUp(claimed: ClaimedRun, worker: WorkerKey, arrived?: InboxRecord): void;
  notice(key: RunKey, inboxCount: number): void;
}

/** A message on its way, as it is stored and as text. */
export interface SealedItem {
  readonly item: InboxItem;
  readonly text: string;
}

/** A start, with everything that is stored. */
export interface PreparedStart extends Pick<StartOperation, "dueAt" | "reuse" | "terminates" | "attributes"> {
  readonly run: NewRun;
  /** The encoded input, as text and as it is stored. */
  readonly inputText: string;
  readonly input: Payload;
  readonly messages: readonly SealedItem[];
}

/** A start that a worker makes itself, its first turn included. */
export interface EagerStart extends PreparedStart {
  readonly operation: (eager: StartOperation["eager"]) => StartOperation;
}

export interface PostOptions {
  readonly commits: GroupCommit;
  readonly worker: LocalWorker | undefined;
  /** Calls again while the store is out of reach; for what may be done twice. */
  readonly persist: <T>(call: () => Promise<T>) => Promise<T>;
}

export class Post {
  readonly #options: PostOptions;

  constructor(options: PostOptions) {
    this.#options = options;
  }

  async start(start: PreparedStart): Promise<Outcome<StartOperation>> {
    const { commits, worker, persist } = this.#options;
    const operation = (eager: StartOperation["eager"]): StartOperation => ({
      type: "start",
      run: start.run,
      input: start.input,
      messages: start.messages.map(({ item }) => item),
      dueAt: start.dueAt,
      reuse: start.reuse,
      terminates: start.terminates,
      attributes: start.attributes,
      eager,
    });
    if (start.dueAt === null && worker?.accepts(start.run) === true) {
      try {
        return await worker.startEagerly({ ...start, operation });
      } catch (error) {
        // A worker that lost its lease or closes before the commit has not stored it; after it, it may be stored and this worker's. It finds itself by its run id.
        if (!isUnknownOutcome(error) && !isPerdureError(error, "lease_lost") && !isPerdureError(error, "shutdown")) throw error;
        const outcome = await persist(() => commits.submit(operation(null)));
        if (outcome.status === "exists" && outcome.run.runId === start.run.runId) await worker.reclaim(outcome.run.key, outcome.run.epoch);
        else worker.onRunsDue();
        return outcome;
      }
    }
    const outcome = await persist(() => commits.submit(operation(null)));
    if (outcome.status === "started") worker?.onRunsDue();
    return outcome;
  }

  /** `unknown`: the store gave no answer at first, so one that finds the run gone may have been taken before. */
  async send(
    target: RunTarget,
    item: InboxItem,
    dedupeKey: string,
  ): Promise<{ readonly status: SendOutcome["status"]; readonly unknown: boolean }> {
    const { commits, worker, persist } = this.#options;
    let unknown = false;
    let claimFor: SendOperation["claimFor"] = null;
    const outcome = await persist(async () => {
      claimFor = worker?.claimFor() ?? null;
      try {
        return await commits.submit<SendOperation>({ type: "send", target, item, dedupeKey, claimFor });
      } catch (error) {
        if (isUnknownOutcome(error)) unknown = true;
        throw error;
      }
    });
    if (outcome.status === "sent") this.#arrived(outcome.key, outcome.position, outcome, claimFor, item);
    return { status: outcome.status, unknown };
  }

  /** Finishes an activity from outside. `unknown`: the store gave no answer at first, so one that is gone may have been finished by this very call. */
  async finish(
    task: TaskTarget,
    kind: "activity_completed" | "activity_failed",
    payload: Payload,
  ): Promise<{ readonly finished: boolean; readonly unknown: boolean }> {
    const { commits, worker, persist } = this.#options;
    let unknown = false;
    let claimFor: SendOperation["claimFor"] = null;
    const outcome = await persist(async () => {
      claimFor = worker?.claimFor() ?? null;
      try {
        return await commits.submit({ type: "finish_task", task, kind, payload, claimFor });
      } catch (error) {
        if (isUnknownOutcome(error)) unknown = true;
        throw error;
      }
    });
    if (outcome.status === "finished") this.#arrived(outcome.runKey, outcome.position, outcome, claimFor);
    return { finished: outcome.status === "finished", unknown };
  }

  /** Something came into the inbox of a run that this process claimed in passing, or drives anyhow. */
  #arrived(
    key: RunKey,
    position: number,
    { claimed, owner }: { readonly claimed: ClaimedRun | null; readonly owner: WorkerKey | null },
    claimFor: SendOperation["claimFor"],
    item?: InboxItem,
  ): void {
    const { worker } = this.#options;
    if (worker === undefined) return;
    if (claimed !== null) worker.takeUp(claimed, claimFor?.worker ?? 0, item && { ...item, position });
    else if (owner !== null && owner === worker.worker) worker.notice(key, position);
  }
}
