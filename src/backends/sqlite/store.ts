import {
  everything,
  hintOf,
  type Operation,
  type Outcome,
  type Pulse,
  type RunRecord,
  type Store,
  type WorkerKey,
} from "../../backend/index.js";
import type { Runtime } from "../../platform/runtime.js";
import { assertWellFormed } from "../../backend/well-formed.js";
import { makesNews } from "../../backend/makes-news.js";
import { givesWork, WorkBeginnings } from "../../backend/work-beginnings.js";
import { applyAll } from "./apply.js";
import { claimRuns, claimTasks, hasDueRuns, hasDueTasks, nextRunDueAt, nextTaskDueAt, reclaimRun, retryParked } from "./claims.js";
import { Database } from "./database.js";
import type { SqliteDriver } from "./driver.js";
import { liveness } from "./liveness.js";
import type { Liveness } from "./liveness.js";
import { findRuns, listPiece, loadHistory } from "./queries.js";
import { readChunks, readEntries, readStreamTail } from "./shelf.js";
import { expiredMax, expireTasks, hasExpiredTasks } from "./task-outcomes.js";
import { wake } from "./wake.js";
import type { Wake } from "./wake.js";
import { applyWithin } from "./within.js";
import type { OwnFile } from "./within.js";
import { findCasualties, isAlive, othersOwn, ownsAny, recover, registerWorker, release, retireWorker } from "./workers.js";

export interface SqliteStoreOptions {
  readonly driver: SqliteDriver;
  readonly path: string;
  readonly synchronous: "full" | "normal";
  readonly waitMaxMs: number;
}

/** Opens a store on a file. Its clock is the runtime's: all processes that share the file are on one machine, and so on one clock. */
export async function openSqliteStore(runtime: Runtime, options: SqliteStoreOptions): Promise<SqliteStore> {
  const { driver, path } = options;
  const now = (): number => runtime.now();
  const database = await Database.open({ ...options, runtime, now });
  const hints = wake({ file: `${path}-wake`, runtime, dataVersion: () => database.dataVersion() });
  return new SqliteStore(runtime, database, liveness(driver, path, runtime), hints);
}

/** Commits that only say who has what. A power cut ends everybody who could have it, so they need not wait for the disk. */
const relaxed = { durable: false } as const;

export class SqliteStore implements Store {
  readonly kind = "sqlite";
  readonly concurrentApplies = { max: 1, operationsMin: 1 };
  readonly now: () => number;
  readonly #runtime: Runtime;
  readonly #database: Database;
  readonly #liveness: Liveness;
  readonly #hints: Wake;
  readonly #beginnings: WorkBeginnings;
  /** The workers that were registered through this store. */
  readonly #workerIds = new Map<WorkerKey, string>();

  constructor(runtime: Runtime, database: Database, live: Liveness, hints: Wake) {
    this.#runtime = runtime;
    this.now = () => runtime.now();
    this.#database = database;
    this.#liveness = live;
    this.#hints = hints;
    this.#beginnings = new WorkBeginnings(() => runtime.monotonicMs());
  }

  #noteWork(): void {
    if (this.#beginnings.note()) this.#hints.touch();
  }

  /** What an application's own connection must be to. */
  get file(): OwnFile {
    return this.#database.file;
  }

  async apply<const Operations extends readonly Operation[]>(
    operations: Operations,
  ): Promise<{ [I in keyof Operations]: Outcome<Operations[I]> }> {
    for (const operation of operations) assertWellFormed(operation);
    const outcomes = operations.length === 0 ? [] : await this.#database.write((work) => applyAll(work, operations));
    if (outcomes.some((outcome, index) => makesNews(operations[index], outcome, (worker) => this.#workerIds.has(worker))))
      this.#hints.touch();
    if (outcomes.some(givesWork)) this.#noteWork();
    // They stand in the order of their operations, which is all that the mapped type says.
    return outcomes as never;
  }

  async applyWithin<const Operations extends readonly Operation[]>(
    transaction: unknown,
    operations: Operations,
  ): Promise<{ [I in keyof Operations]: Outcome<Operations[I]> }> {
    // Nobody is told: when the application commits, others see that the file has changed.
    return applyWithin(this.file, this.now(), transaction, operations) as never;
  }

  // Workers. ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async registerWorker(options: Parameters<Store["registerWorker"]>[0]): Promise<{ readonly worker: WorkerKey }> {
    const { workerId } = options;
    // Held before its row can be seen: a row whose file is free means a death.
    await this.#liveness.hold(workerId);
    try {
      const registered = await this.#database.write((work) => registerWorker(work, options), relaxed);
      this.#workerIds.set(registered.worker, workerId);
      await this.#sweep();
      return registered;
    } catch (error) {
      this.#liveness.release(workerId);
      throw error;
    }
  }

  async pulse({ worker, leaseMs, runRoutes, taskRoutes }: Parameters<Store["pulse"]>[0]): Promise<Pulse> {
    const isRenewed =
      leaseMs !== null &&
      (await this.#database.write((work) => work.workers.renew(worker, work.now + leaseMs, work.now), { ...relaxed, urgent: true }));
    return this.#database.read((tables, now) => {
      const { workers, owners } = findCasualties(tables, worker, now, this.#liveness.probe);
      return {
        isAlive: leaseMs === null ? isAlive(tables, worker, now) : isRenewed,
        ownsAny: ownsAny(tables, worker),
        othersOwn: othersOwn(tables, worker),
        nextRunDueAt: nextRunDueAt(tables, runRoutes, -1),
        nextTaskDueAt: nextTaskDueAt(tables, taskRoutes, -1),
        hasCasualties: workers.length + owners.length > 0,
        hasExpired: hasExpiredTasks(tables, now),
      };
    });
  }

  async retireWorker(worker: WorkerKey): Promise<void> {
    await this.#database.write((work) => retireWorker(work, worker), relaxed);
    this.#letGo(worker);
    this.#hints.touch();
  }

  async recover(self: WorkerKey | null): Promise<{ readonly workers: number; readonly runs: number; readonly tasks: number }> {
    const probe = this.#liveness.probe;
    const { workers, owners } = await this.#database.read((tables, now) => findCasualties(tables, self, now, probe));
    if (workers.length + owners.length === 0) return { workers: 0, runs: 0, tasks: 0 };
    const freed = await this.#database.write((work) => recover(work, self, probe), relaxed);
    for (const worker of workers) this.#letGo(worker);
    await this.#sweep();
    if (freed.runs + freed.tasks > 0) this.#hints.touch();
    return freed;
  }

  async expireTasks(): Promise<number> {
    let expired = 0;
    for (let last = expiredMax; last === expiredMax; expired += last) {
      const isDue = await this.#database.read(hasExpiredTasks);
      last = isDue ? await this.#database.write(expireTasks) : 0;
    }
    if (expired > 0) this.#hints.touch();
    return expired;
  }

  /** A worker of this store is gone: its file says nothing any more. */
  #letGo(worker: WorkerKey): void {
    const workerId = this.#workerIds.get(worker);
    if (workerId === undefined) return;
    this.#workerIds.delete(worker);
    this.#liveness.release(workerId);
  }

  /** Tidies up after the dead. What stays behind is found by the next sweep. */
  async #sweep(): Promise<void> {
    try {
      const workers = await this.#database.read(({ workers: table }) => table.all());
      this.#liveness.sweep(new Set(workers.map(({ workerId }) => workerId)));
    } catch {
      // Nothing rests on it.
    }
  }

  // Claims. ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async claimRuns(options: Parameters<Store["claimRuns"]>[0]): ReturnType<Store["claimRuns"]> {
    const isDue = await this.#database.read((tables, now) => hasDueRuns(tables, options, now));
    const runs = isDue ? await this.#database.write((work) => claimRuns(work, options), relaxed) : [];
    const nextDueAt = await this.#database.read((tables, now) => nextRunDueAt(tables, options.routes, now));
    if (runs.length > 0) this.#noteWork();
    return { runs, nextDueAt };
  }

  reclaimRun(options: Parameters<Store["reclaimRun"]>[0]): ReturnType<Store["reclaimRun"]> {
    return this.#database.write((work) => reclaimRun(work, options), relaxed);
  }

  async claimTasks(options: Parameters<Store["claimTasks"]>[0]): ReturnType<Store["claimTasks"]> {
    const isDue = await this.#database.read((tables, now) => hasDueTasks(tables, options, now));
    const tasks = isDue ? await this.#database.write((work) => claimTasks(work, options), relaxed) : [];
    const nextDueAt = await this.#database.read((tables, now) => nextTaskDueAt(tables, options.routes, now));
    if (tasks.length > 0) this.#noteWork();
    return { tasks, nextDueAt };
  }

  inspectOwned(worker: WorkerKey): ReturnType<Store["inspectOwned"]> {
    return this.#database.read(({ runQueue, taskQueue }) => ({ runs: runQueue.owned(worker), tasks: taskQueue.owned(worker) }));
  }

  async release(options: Parameters<Store["release"]>[0]): Promise<void> {
    await this.#database.write((work) => release(work, options), relaxed);
    this.#hints.touch();
  }

  async retryParked(routes: readonly string[]): Promise<number> {
    const retried = await this.#database.write((work) => retryParked(work, routes), relaxed);
    if (retried > 0) this.#hints.touch();
    return retried;
  }

  // Reads. ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  loadHistory(options: Parameters<Store["loadHistory"]>[0]): ReturnType<Store["loadHistory"]> {
    return this.#database.read((tables) => loadHistory(tables, options));
  }

  loadInboxes(runs: Parameters<Store["loadInboxes"]>[0]): ReturnType<Store["loadInboxes"]> {
    return this.#database.read(({ inbox }) => runs.map(({ key, above }) => inbox.read(key, above)));
  }

  findRuns(targets: Parameters<Store["findRuns"]>[0]): ReturnType<Store["findRuns"]> {
    return this.#database.read((tables) => findRuns(tables, targets));
  }

  readEntries(options: Parameters<Store["readEntries"]>[0]): ReturnType<Store["readEntries"]> {
    return this.#database.read((tables) => readEntries(tables, options));
  }

  readChunks(options: Parameters<Store["readChunks"]>[0]): ReturnType<Store["readChunks"]> {
    return this.#database.read((tables) => readChunks(tables, options));
  }

  readStreamTail(options: Parameters<Store["readStreamTail"]>[0]): ReturnType<Store["readStreamTail"]> {
    return this.#database.read((tables) => readStreamTail(tables, options));
  }

  async listRuns(options: Parameters<Store["listRuns"]>[0]): Promise<readonly RunRecord[]> {
    const listed: RunRecord[] = [];
    let before = options.before;
    do {
      const rest = { ...options, limit: options.limit - listed.length };
      const piece = await this.#database.read((tables) => listPiece(tables, rest, before));
      listed.push(...piece.found);
      before = piece.next;
      if (before !== undefined) await new Promise<void>((resolve) => this.#runtime.yieldToLoop(resolve));
    } while (before !== undefined);
    return listed;
  }

  onHint(callback: Parameters<Store["onHint"]>[0]): { stop(): void } {
    // A touch of the wake file says no more than that there is something.
    return this.#hints.onWake(() => callback(hintOf(everything)));
  }

  async close(): Promise<void> {
    this.#hints.close();
    this.#liveness.close();
    this.#database.close();
  }
}
