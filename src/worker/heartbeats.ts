/** Tells the store that a claimed task goes on, as often as is needed and no more. */
import type { TouchTaskOperation, TouchTaskOutcome } from "../backend/operations.js";
import type { ClaimedTask, Payload } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import type { Runtime, TimerHandle } from "../platform/runtime.js";
import type { GroupCommit } from "./group-commit.js";
import { payloadFields } from "./payload-fields.js";

export interface HeartbeatsOptions {
  readonly task: ClaimedTask;
  readonly runtime: Runtime;
  readonly codec: Codec;
  readonly commits: GroupCommit;
  /** The activity is to stop, or it is not this worker's any more. */
  readonly onAnswer: (answer: "cancel" | "gone") => void;
  readonly onTrouble: (error: unknown) => void;
}

/** Of beats that follow one another faster, some are put together: each is a commit. */
const restMs = 500;

export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  /** What was told last, as text: for the next attempt, whatever becomes of this one. */
  details: string | null = null;
  #pending = false;
  #busy = false;
  #timer: TimerHandle | undefined;
  #beatAtMs = -Infinity;
  #stopped = false;

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
  }

  beat(details: unknown): void {
    if (details !== undefined) this.details = this.#options.codec.encode(details, `the heartbeat of activity "${this.#options.task.name}"`);
    this.#pending = true;
    this.#next();
  }

  /** Says it a last time, and gives the claim up for whoever has the token. */
  async detach(): Promise<TouchTaskOutcome> {
    this.stop();
    return this.#options.commits.submit(await this.#touch(true));
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #next(): void {
    if (this.#busy || this.#stopped || !this.#pending || this.#timer !== undefined) return;
    const { runtime, task } = this.#options;
    const every = Math.min(restMs, (task.heartbeatMs ?? Infinity) / 4);
    const waitMs = this.#beatAtMs + every - runtime.monotonicMs();
    if (waitMs <= 0) return void this.#tell();
    this.#timer = runtime.setTimer(() => {
      this.#timer = undefined;
      void this.#tell();
    }, waitMs);
  }

  async #tell(): Promise<void> {
    const { runtime, commits, onAnswer, onTrouble } = this.#options;
    if (this.#stopped) return;
    this.#busy = true;
    this.#pending = false;
    this.#beatAtMs = runtime.monotonicMs();
    try {
      const outcome = await commits.submit(await this.#touch(false));
      if (this.#stopped) return;
      if (outcome.status === "gone") onAnswer("gone");
      else if (outcome.cancelRequested) onAnswer("cancel");
    } catch (error) {
      // Told again with the next beat; until then the store may think that nobody is there, which is what heartbeats are for.
      onTrouble(error);
    } finally {
      this.#busy = false;
      this.#next();
    }
  }

  async #touch(detach: boolean): Promise<TouchTaskOperation> {
    const { task, codec } = this.#options;
    const text = this.details;
    let details: Payload | null = null;
    if (text !== null)
      details = codec.sync ? text : await codec.seal(text, { workflowId: task.workflowId, field: payloadFields.details(task.command) });
    return { type: "touch_task", key: task.key, epoch: task.epoch, details, detach };
  }
}
