import type { ClaimedTask, NewTask, TaskKey } from "../../backend/records.js";

interface TaskModel {
  readonly runKey: number;
  readonly command: number;
  readonly attempt: number;
  readonly expiresAt: number | null;
  readonly heartbeatMs: number | null;
  readonly options: string;
  /** When its worker last gave a sign of life, on the store's clock; null while nobody has claimed it. */
  aliveAt: number | null;
}

/** What the checkers know of queued activities: enough to say that none expires before its time. */
export class TaskModels {
  readonly #byCommand = new Map<string, TaskModel>();
  readonly #byKey = new Map<TaskKey, TaskModel>();

  queue(runKey: number, { command, attempt, expiresAt, heartbeatMs, options }: NewTask): void {
    this.#byCommand.set(`${runKey}/${command}`, { runKey, command, attempt, expiresAt, heartbeatMs, options, aliveAt: null });
  }

  claim({ key, runKey, command }: ClaimedTask, now: number): void {
    const task = this.#byCommand.get(`${runKey}/${command}`);
    if (task === undefined) return;
    task.aliveAt = now;
    this.#byKey.set(key, task);
  }

  touch(key: TaskKey, now: number): void {
    const task = this.#byKey.get(key);
    if (task !== undefined) task.aliveAt = now;
  }

  ofKey(key: TaskKey): TaskModel | undefined {
    return this.#byKey.get(key);
  }

  /** Why this task must not have expired now, if so. */
  early(
    runKey: number,
    { command, attempt, name }: { readonly command: number | null; readonly attempt: number | null; readonly name: string },
    now: number,
  ): string | null {
    const task = this.#byCommand.get(`${runKey}/${command}`);
    if (task === undefined || task.attempt !== attempt) return "which is not there";
    const { aliveAt, expiresAt, heartbeatMs } = task;
    const dueAt =
      name === "queued" ? (aliveAt === null ? expiresAt : null) : aliveAt === null || heartbeatMs === null ? null : aliveAt + heartbeatMs;
    if (dueAt === null) return "which has no such limit";
    return now < dueAt ? `${dueAt - now} ms early` : null;
  }
}
