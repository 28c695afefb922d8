import { PerdureError } from "../../errors.js";
import {
  isOpen,
  StoreFailure,
  type Operation,
  type Outcome,
  type Pulse,
  type RunRecord,
  type Store,
  type WorkerKey,
} from "../../backend/index.js";
import type { Runtime } from "../../platform/runtime.js";
import { assertWellFormed } from "../../backend/well-formed.js";
import { applyAll } from "./apply.js";
import { claimRuns, claimTasks, inspectOwned, reclaimRun, release, retryParked, type Hall } from "./claims.js";
import { databaseClock, type DatabaseClock } from "./clock.js";
import { limitOf, type MysqlPool } from "./driver.js";
import { toStoreFailure } from "./failure.js";
import { makesNews } from "../../backend/makes-news.js";
import { givesWork, WorkBeginnings } from "../../backend/work-beginnings.js";
import { bell, isOwnBell, type Bell } from "./bell.js";
import { hints, type Hints } from "./hints.js";
import { closed, Lanes } from "./lanes.js";
import { liveness, type Liveness } from "./liveness.js";
import { lockNames, type LockNames } from "./lock-names.js";
import { lookout, type Lookout } from "./lookout.js";
import { migrate } from "./migrate.js";
import { nameTable } from "./names.js";
import { pulse } from "./pulse.js";
import { findRuns, listRuns, loadHistory, loadInboxes } from "./queries.js";
import type { Tables } from "./schema.js";
import { readChunks, readEntries, readStreamTail } from "./shelf.js";
import { ring, ringer, type Ringer } from "./ringer.js";
import { sourceOf, type Source } from "./source.js";
import { clockSql, numberOf, placeSql } from "./sql.js";
import { expireTasks } from "./task-outcomes.js";
import { recover, registerWorker, retireWorker } from "./workers.js";
import { applyWithin } from "./within.js";

export interface MysqlStoreOptions {
  readonly target: string | MysqlPool;
  readonly tables: Tables;
  readonly prefix: string;
  readonly connections: number;
}

/** Beside those for reading and writing: one for leases, and one that is told of news. */
const connectionsBeside = 2;

export async function openMysqlStore(runtime: Runtime, { target, tables, prefix, connections }: MysqlStoreOptions): Promise<Store> {
  const source = sourceOf(target, runtime);
  const lanes = new Lanes({ source, runtime, max: connections });
  const clock = databaseClock(runtime);
  try {
    const askedMs = runtime.monotonicMs();
    const [answer] = await lanes.transact((work) => work.run([`SELECT ${placeSql}, ${clockSql}`]));
    const [place, time] = answer?.rows[0] ?? [];
    clock.note(numberOf(time) / 1000, askedMs);
    const scope = `${String(place)}/${prefix}`;
    await migrate(lanes, tables, scope);
    const hall: Hall = {
      lanes,
      tables,
      names: nameTable(lanes, tables),
      noteTime: clock.note,
      monotonicMs: () => runtime.monotonicMs(),
    };
    const heard = hints(scope, runtime);
    const locks = lockNames(scope);
    const live = liveness({ source, runtime, workerTable: tables.worker });
    const bellHere = bell({
      source,
      runtime,
      locks,
      hasRoom: typeof target === "string" || (limitOf(target) ?? 0) >= connections + connectionsBeside,
      workerTable: tables.worker,
      live,
      ring: (slot) => ring(lanes, locks, slot),
      onRing: () => heard.tellOwn(),
    });
    return new MysqlStore({
      hall,
      clock,
      source,
      locks,
      look: lookout({ runtime, look: () => heard.tellOwn(), isTold: () => bellHere.isTrusted() }),
      live,
      hints: heard,
      bell: bellHere,
      ringer: ringer({ lanes, locks, runtime, isOwn: isOwnBell, onDenied: () => bellHere.confess() }),
      place: String(place),
    });
  } catch (error) {
    lanes.close();
    throw asFailure(error, source);
  }
}

interface Parts {
  readonly hall: Hall;
  readonly clock: DatabaseClock;
  readonly source: Source;
  readonly live: Liveness;
  readonly hints: Hints;
  readonly bell: Bell;
  readonly ringer: Ringer;
  readonly locks: LockNames;
  readonly look: Lookout;
  /** The server and the database. */
  readonly place: string;
}

class MysqlStore implements Store {
  readonly kind = "mysql";
  readonly concurrentApplies = { max: 1, operationsMin: 1 };
  readonly #parts: Parts;
  /** The locks of the workers that were registered through this store. */
  readonly #lockNames = new Map<WorkerKey, string>();
  readonly #beginnings: WorkBeginnings;
  #isClosed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#beginnings = new WorkBeginnings(parts.hall.monotonicMs);
  }

  now(): number {
    return this.#parts.clock.now();
  }

  async apply<const Operations extends readonly Operation[]>(
    operations: Operations,
  ): Promise<{ [I in keyof Operations]: Outcome<Operations[I]> }> {
    for (const operation of operations) assertWellFormed(operation);
    const outcomes = await this.#call(async ({ lanes, tables, names }) =>
      operations.length === 0 ? [] : applyAll(lanes, tables, names, operations),
    );
    const isMine = (worker: WorkerKey): boolean => this.#lockNames.has(worker);
    if (outcomes.some((outcome, index) => makesNews(operations[index], outcome, isMine))) this.#tellOthers();
    if (outcomes.some((outcome, index) => leavesWork(operations[index], outcome, isMine))) this.#parts.look.expect();
    if (outcomes.some(givesWork)) this.#noteWork();
    // They stand in the order of their operations, which is all that the mapped type says.
    return outcomes as never;
  }

  async applyWithin<const Operations extends readonly Operation[]>(
    transaction: unknown,
    operations: Operations,
  ): Promise<{ [I in keyof Operations]: Outcome<Operations[I]> }> {
    for (const operation of operations) assertWellFormed(operation);
    const { live, place } = this.#parts;
    const outcomes = await this.#call((hall) => applyWithin({ hall, live, place }, transaction, operations));
    // Nobody is told: until the application commits there is no news, and when it does it does not say so.
    return outcomes as never;
  }

  // Workers. ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  registerWorker(options: Parameters<Store["registerWorker"]>[0]): Promise<{ readonly worker: WorkerKey }> {
    return this.#call(async (hall) => {
      const { live, locks } = this.#parts;
      const lockName = locks.worker(options.workerId);
      // Held before its row can be seen.
      await live.hold(lockName);
      try {
        const worker = await registerWorker(hall, options, { lockName, here: await live.place() });
        this.#lockNames.set(worker, lockName);
        return { worker };
      } catch (error) {
        await live.release(lockName);
        throw error;
      }
    });
  }

  pulse(options: Parameters<Store["pulse"]>[0]): Promise<Pulse> {
    return this.#call((hall) => pulse(hall, this.#parts.live, options, this.#lockNames.get(options.worker)));
  }

  async retireWorker(worker: WorkerKey): Promise<void> {
    await this.#call((hall) => retireWorker(hall, worker));
    await this.#letGo(worker);
    this.#tellOthers();
  }

  async recover(self: WorkerKey | null): Promise<{ readonly workers: number; readonly runs: number; readonly tasks: number }> {
    const { gone, ...freed } = await this.#call((hall) => recover(hall, this.#parts.live, self));
    for (const worker of gone) await this.#letGo(worker);
    if (freed.runs + freed.tasks > 0) this.#tellOthers();
    return freed;
  }

  async expireTasks(): Promise<number> {
    const expired = await this.#call(expireTasks);
    if (expired > 0) this.#tellOthers();
    return expired;
  }

  /** A worker of this store is gone: its lock says nothing any more. */
  async #letGo(worker: WorkerKey): Promise<void> {
    const lockName = this.#lockNames.get(worker);
    if (lockName === undefined) return;
    this.#lockNames.delete(worker);
    await this.#parts.live.release(lockName);
  }

  // Claims. ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async claimRuns(options: Parameters<Store["claimRuns"]>[0]): ReturnType<Store["claimRuns"]> {
    const claimed = await this.#look((hall) => claimRuns(hall, options));
    if (claimed.runs.length > 0) this.#beginWork();
    return claimed;
  }

  reclaimRun(options: Parameters<Store["reclaimRun"]>[0]): ReturnType<Store["reclaimRun"]> {
    return this.#call((hall) => reclaimRun(hall, options));
  }

  async claimTasks(options: Parameters<Store["claimTasks"]>[0]): ReturnType<Store["claimTasks"]> {
    const claimed = await this.#look((hall) => claimTasks(hall, options));
    if (claimed.tasks.length > 0) this.#beginWork();
    return claimed;
  }

  inspectOwned(worker: WorkerKey): ReturnType<Store["inspectOwned"]> {
    return this.#call((hall) => inspectOwned(hall, worker));
  }

  async release(options: Parameters<Store["release"]>[0]): Promise<void> {
    await this.#call((hall) => release(hall, options));
    this.#tellOthers();
  }

  async retryParked(routes: readonly string[]): Promise<number> {
    const retried = await this.#call((hall) => retryParked(hall, routes));
    if (retried > 0) this.#tellOthers();
    return retried;
  }

  // Reads. ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  loadHistory(options: Parameters<Store["loadHistory"]>[0]): ReturnType<Store["loadHistory"]> {
    return this.#call((hall) => loadHistory(hall, options));
  }

  loadInboxes(runs: Parameters<Store["loadInboxes"]>[0]): ReturnType<Store["loadInboxes"]> {
    return this.#call((hall) => loadInboxes(hall, runs));
  }

  // Whoever asks what a run has come to is likely to ask again.
  async findRuns(targets: Parameters<Store["findRuns"]>[0]): ReturnType<Store["findRuns"]> {
    const found = await this.#look((hall) => findRuns(hall, targets));
    for (const [index, one] of found.entries())
      if (one !== null && isOpen(one.run.status))
        this.#parts.look.noteAnswer(`run ${JSON.stringify(targets[index])}`, `${one.run.runId} ${one.run.lastSeq} ${one.run.inboxCount}`);
    return found;
  }

  async readEntries(options: Parameters<Store["readEntries"]>[0]): ReturnType<Store["readEntries"]> {
    const entries = await this.#look((hall) => readEntries(hall, options));
    this.#parts.look.noteAnswer(`entries ${JSON.stringify(options)}`, String(entries?.map((entry) => entry?.version ?? 0)));
    return entries;
  }

  async readChunks(options: Parameters<Store["readChunks"]>[0]): ReturnType<Store["readChunks"]> {
    const read = await this.#look((hall) => readChunks(hall, options));
    const { target, stream, from } = options;
    if (read?.isOpen === true) this.#parts.look.noteAnswer(`chunks ${JSON.stringify([target, stream])}`, String(from + read.chunks.length));
    return read;
  }

  readStreamTail(options: Parameters<Store["readStreamTail"]>[0]): ReturnType<Store["readStreamTail"]> {
    return this.#call((hall) => readStreamTail(hall, options));
  }

  listRuns(options: Parameters<Store["listRuns"]>[0]): Promise<readonly RunRecord[]> {
    return this.#call((hall) => listRuns(hall, options));
  }

  onHint(callback: Parameters<Store["onHint"]>[0]): { stop(): void } {
    if (this.#isClosed) return { stop: () => undefined };
    this.#parts.bell.hang();
    return this.#parts.hints.onHint(callback);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { hall, live, hints: heard, look, bell: bellHere, ringer: ringerHere } = this.#parts;
    look.close();
    bellHere.close();
    ringerHere.close();
    heard.close();
    live.close();
    hall.lanes.close();
  }

  #beginWork(): void {
    this.#parts.look.expect();
    this.#noteWork();
  }

  #noteWork(): void {
    if (this.#beginnings.note()) this.#parts.ringer.tellOthers();
  }

  #tellOthers(): void {
    this.#parts.hints.tellOthers();
    this.#parts.ringer.tellOthers();
  }

  /** A call by which somebody finds out what others have done. */
  async #look<T>(work: (hall: Hall) => Promise<T>): Promise<T> {
    const { hall, look } = this.#parts;
    const startMs = hall.monotonicMs();
    const found = await this.#call(work);
    look.noteCost(hall.monotonicMs() - startMs);
    return found;
  }

  async #call<T>(work: (hall: Hall) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw closed();
    try {
      return await work(this.#parts.hall);
    } catch (error) {
      throw asFailure(error, this.#parts.source);
    }
  }
}

/** Does this leave something to be done by another process, which will show before long? */
function leavesWork(operation: Operation | undefined, outcome: Outcome, isMine: (worker: WorkerKey) => boolean): boolean {
  if (outcome.status === "started") return !outcome.owned;
  if (outcome.status === "sent" || outcome.status === "finished") return outcome.owner === null || !isMine(outcome.owner);
  return outcome.status === "committed" && operation?.type === "turn" && operation.effects.tasks.length > 0;
}

/** Whatever went wrong, as the engine understands it: what is not the driver's is a bug of ours, found before anything was committed. */
function asFailure(error: unknown, { mask }: Source): PerdureError {
  if (error instanceof PerdureError) return error;
  if (error instanceof Error && "code" in error) return toStoreFailure(error, "work", mask);
  return new StoreFailure("internal", "The MySQL store failed in an unforeseen way; nothing was written. Please report it.", {
    outcome: "none",
    transient: false,
    cause: error,
  });
}
