import {
  everything,
  news,
  StoreFailure,
  type News,
  type Operation,
  type Outcome,
  type Pulse,
  type RunRecord,
  type Store,
  type WorkerKey,
} from "../../backend/index.js";
import { processMark } from "../../platform/process-mark.js";
import type { Runtime } from "../../platform/runtime.js";
import { newsOf, usualNewsOf } from "../../backend/makes-news.js";
import { givesWork, WorkBeginnings } from "../../backend/work-beginnings.js";
import { assertWellFormed } from "../../backend/well-formed.js";
import { applyBatch, type Contention } from "./apply.js";
import { databaseClock, type DatabaseClock } from "./clock.js";
import type { PostgresPool } from "./driver.js";
import { toStoreFailure, type Mask } from "./failure.js";
import { createHints, type Hints } from "./hints.js";
import { Link } from "./link.js";
import { liveness, missingMs, type Liveness, type Seen, type Verdict } from "./liveness.js";
import { prepareDatabase, type TableOptions } from "./migrate.js";
import { indexForm, lockClassOf } from "./names.js";
import { listRuns } from "./listing.js";
import { findRuns, loadInboxes, readChunks, readEntries, readStreamTail } from "./queries.js";
import { openSession, type Session } from "./session.js";
import { statementsOf, type Statements } from "./statements.js";
import { claimedRunOf, claimedTaskOf, lineOf } from "./values.js";
import { applyWithin } from "./within.js";

export const connectionsPerStore = 3;

export interface PostgresStoreOptions extends TableOptions {
  readonly source: string | PostgresPool;
  readonly applicationName: string;
  readonly mask: Mask;
}

/** Opens a store: checks the server, brings the tables up to date, and makes its connections. */
export async function openPostgresStore(runtime: Runtime, options: PostgresStoreOptions): Promise<Store> {
  const { source, applicationName, schema, mask } = options;
  const statements = statementsOf(schema);
  const clock = databaseClock(runtime, async () => (await reader.rows<[number]>(statements.time, [], "read"))[0]?.[0] ?? 0);
  const live = liveness(lockClassOf(schema));
  const hints = createHints({
    runtime,
    channel: channelOf(schema),
    enter: (session) => live.enterListener(session),
    notify: (sender) => reader.query(statements.notify, [channelOf(schema), sender], "read"),
  });

  const linkOf = (settings: readonly string[], onOpened: (session: Session) => Promise<void>, onLost?: () => void): Link =>
    new Link({
      runtime,
      mask,
      open: () => openSession({ source, applicationName }, settings),
      onOpened,
      ...(onLost !== undefined && { onLost }),
    });
  // A batch that finds a row locked goes on without it, and soon.
  const writer = linkOf(["lock_timeout = '100ms'"], async (session) => {
    await ensureDurable(session);
    await live.holdAllOn(session);
  });
  // What these write is harmless to lose with the server: a claim of which nobody heard, a lease that is renewed again.
  const relaxed = ["lock_timeout = '5s'", "synchronous_commit = off"];
  const reader = linkOf(relaxed, (session) => live.holdAllOn(session));
  const control: Link = linkOf(
    relaxed,
    async (session) => {
      await live.holdAllOn(session);
      await hints.listenOn(session);
    },
    () => keepOpen(control, runtime),
  );

  try {
    const { client } = await reader.session();
    await prepareDatabase(client, options);
    await Promise.all([writer.session(), control.session()]);
    // The quickest answer of several says most.
    for (let sample = 0; sample < 3; sample += 1) await clock.measure();
  } catch (error) {
    await Promise.allSettled([writer, reader, control].map((link) => link.close()));
    throw isOurs(error) ? error : toStoreFailure(error, "nothing", mask);
  }
  return new PostgresStore({ schema, mask, runtime, writer, reader, control, clock, statements, live, hints });
}

const channelOf = (schema: string): string => `perdure_${schema}`;

const isOurs = (error: unknown): boolean => error instanceof Error && "docs" in error;

/** "Acknowledged" means that it survives the server: a server that is set to confirm earlier is told not to. Anything stricter than its disk is kept. */
async function ensureDurable({ client, isPooled }: Session): Promise<void> {
  const { rows } = await client.query({ text: "SELECT current_setting('synchronous_commit')", rowMode: "array" });
  if ((rows as unknown[][])[0]?.[0] !== "off") return;
  if (!isPooled) await client.query("SET synchronous_commit = on");
}

/** The connection that hears of news and says that this process lives is there also when nobody asks anything of it. */
function keepOpen(link: Link, runtime: Runtime): void {
  void link.session().catch((error: unknown) => {
    if (error instanceof StoreFailure && error.code === "closed") return;
    // The link itself spaces its attempts.
    runtime.yieldToLoop(() => keepOpen(link, runtime));
  });
}

/** How many tasks expire in one transaction: it holds their runs. */
const expiringMax = 500;

type PulseRow = readonly [
  time: number,
  isAlive: boolean,
  nextRunDueAt: number | null,
  nextTaskDueAt: number | null,
  hasExpired: boolean,
  listeners: number,
  key: WorkerKey | null,
  isExpired: boolean | null,
  isUnlocked: boolean | null,
  process: string | null,
];

interface Parts {
  readonly schema: string;
  readonly mask: Mask;
  readonly runtime: Runtime;
  readonly writer: Link;
  readonly reader: Link;
  readonly control: Link;
  readonly clock: DatabaseClock;
  readonly statements: Statements;
  readonly live: Liveness;
  readonly hints: Hints;
}

class PostgresStore implements Store {
  readonly kind = "postgres";
  /** The next one lies ready at the server when it has answered the one before. */
  readonly concurrentApplies = { max: 2, operationsMin: 24 };
  readonly now: () => number;
  readonly #parts: Parts;
  readonly #contention: Contention = { untilMs: 0 };
  readonly #beginnings: WorkBeginnings;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#beginnings = new WorkBeginnings(() => parts.runtime.monotonicMs());
    this.now = parts.clock.now;
  }

  async apply<const Operations extends readonly Operation[]>(
    operations: Operations,
  ): Promise<{ [I in keyof Operations]: Outcome<Operations[I]> }> {
    for (const operation of operations) assertWellFormed(operation);
    const { runtime, writer, hints, live } = this.#parts;
    if (operations.length === 0) return [] as never;
    // A session that is pooled sends nothing behind a statement.
    const usual = addUp(operations.map(usualNewsOf));
    const note = writer.current?.isPooled === false ? hints.announce(usual.about, usual.pieces) : undefined;
    const statements = note === undefined ? this.#parts.statements : this.#noted(note);
    const outcomes = await applyBatch({ runtime, writer, statements, contention: this.#contention }, operations);
    const made = addUp(outcomes.map((outcome, index) => newsOf(operations[index], outcome, live.isOurs)));
    // What was foreseen is told of already.
    const untold = note === undefined ? made.about : made.about & ~usual.about;
    if (untold !== 0) hints.tellOthers(untold, made.pieces);
    if (outcomes.some(givesWork)) this.#noteWork();
    // They stand in the order of their operations, which is all that the mapped type says.
    return outcomes as never;
  }

  #noteWork(): void {
    const nothingToAskFor = 0;
    if (this.#beginnings.note()) this.#parts.hints.tellOthers(nothingToAskFor);
  }

  /** The statements of a batch, each with a notification right behind it: also the last of several, which commits the last of the news. */
  #noted(note: string): Pick<Statements, "apply" | "applySimple"> {
    const { schema, statements } = this.#parts;
    const behind = { statement: statements.notify, values: [channelOf(schema), note] };
    return { apply: { ...statements.apply, behind }, applySimple: { ...statements.applySimple, behind } };
  }

  async applyWithin<const Operations extends readonly Operation[]>(
    transaction: unknown,
    operations: Operations,
  ): Promise<{ [I in keyof Operations]: Outcome<Operations[I]> }> {
    for (const operation of operations) assertWellFormed(operation);
    const { schema, mask, reader, statements } = this.#parts;
    const identity = async (): Promise<string> => (await reader.rows<[string]>(statements.identity, [], "read"))[0]?.[0] ?? "";
    const outcomes = await applyWithin({ schema, mask, identity }, transaction, operations);
    return outcomes as never;
  }

  // Workers. ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async registerWorker({ workerId, leaseMs }: Parameters<Store["registerWorker"]>[0]): Promise<{ readonly worker: WorkerKey }> {
    const { control, statements, live, writer, reader } = this.#parts;
    // By the connection whose commits are durable: a key that the server forgot in a crash would be given to another worker as well.
    const { isPooled } = await writer.session();
    const values = [workerId, leaseMs, !isPooled, live.lockClass, processMark() ?? null];
    const [row] = await writer.rows<[number]>(statements.register, values, "write");
    const worker = row?.[0] ?? 0;
    // On every connection of the process: then the loss of one of them is no death.
    await live.hold(worker, [writer, control, reader]);
    return { worker };
  }

  async pulse({ worker, leaseMs, runRoutes, taskRoutes }: Parameters<Store["pulse"]>[0]): Promise<Pulse> {
    const { control, statements, clock, live, hints, runtime } = this.#parts;
    const { isPooled } = await control.session();
    const values = [worker, leaseMs, !isPooled && live.isOurs(worker), formsOf(runRoutes), formsOf(taskRoutes), live.lockClass >>> 0];
    const [asked, notes] = [runtime.monotonicMs(), hints.countNotes()];
    const rows = await control.rows<PulseRow>(statements.pulse, values, "write");
    const [time = 0, isAlive = false, nextRunDueAt = null, nextTaskDueAt = null, hasExpired = false, listeners = 0] = rows[0] ?? [];
    clock.enter(asked, runtime.monotonicMs(), time);
    const seen = rows.flatMap(([, , , , , , key, ...rest]): Seen[] => (key === null ? [] : [[key, ...rest]]));
    const { dead, isMissing } = live.judge(seen, worker, runtime.monotonicMs());
    // A session that is pooled would not hear of those who come.
    hints.noteListeners(isPooled ? 1 : listeners, notes);
    return {
      isAlive,
      ownsAny: seen.some(([key, isExpired]) => isExpired === null && key === worker),
      othersOwn: seen.some(([key, isExpired]) => isExpired === null && key !== worker),
      nextRunDueAt,
      nextTaskDueAt,
      hasCasualties: dead || isMissing,
      hasExpired,
    };
  }

  async retireWorker(worker: WorkerKey): Promise<void> {
    const { control, writer, reader, statements, live, hints } = this.#parts;
    await control.rows(statements.retire, [worker], "write");
    await live.letGo(worker, [control, writer, reader]);
    hints.tellOthers(everything);
  }

  async recover(self: WorkerKey | null): Promise<{ readonly workers: number; readonly runs: number; readonly tasks: number }> {
    const { control, statements, live, runtime, hints } = this.#parts;
    const look = async (): Promise<Verdict> =>
      live.judge(await control.rows<Seen>(statements.look, [live.lockClass >>> 0], "read"), self, runtime.monotonicMs());
    let verdict = await look();
    if (verdict.isMissing) {
      await new Promise<void>((resolve) => void runtime.setTimer(resolve, missingMs + 1));
      verdict = await look();
    }
    const { dead, unlocked } = verdict;
    if (!dead) return { workers: 0, runs: 0, tasks: 0 };
    const [row] = await control.rows<[number, number, number]>(statements.recover, [self, unlocked], "write");
    const [workers = 0, runs = 0, tasks = 0] = row ?? [];
    if (runs + tasks > 0) hints.tellOthers(everything);
    return { workers, runs, tasks };
  }

  async expireTasks(): Promise<number> {
    const { control, statements, hints } = this.#parts;
    let expired = 0;
    for (let found = expiringMax; found === expiringMax; expired += found) {
      const [row] = await control.rows<[number]>(statements.expireTasks, [expiringMax], "write");
      found = row?.[0] ?? 0;
    }
    if (expired > 0) hints.tellOthers(everything);
    return expired;
  }

  // Claims. ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async claimRuns({ worker, routes, limit, suspects }: Parameters<Store["claimRuns"]>[0]): ReturnType<Store["claimRuns"]> {
    const { reader, statements } = this.#parts;
    if (routes.length === 0) return { runs: [], nextDueAt: null };
    const rows = await reader.rows<unknown[]>(statements.claimRuns, [worker, formsOf(routes), Math.max(0, limit), suspects], "write");
    const runs = rows.filter((row) => row[1] !== null).map((row) => claimedRunOf(row.slice(1)));
    if (runs.length > 0) this.#noteWork();
    return { runs, nextDueAt: (rows[0]?.[0] ?? null) as number | null };
  }

  async reclaimRun({ worker, key, epoch }: Parameters<Store["reclaimRun"]>[0]): ReturnType<Store["reclaimRun"]> {
    const { reader, statements } = this.#parts;
    const [row] = await reader.rows<unknown[]>(statements.reclaim, [key, worker, epoch], "write");
    return row === undefined ? null : claimedRunOf(row);
  }

  async claimTasks({ worker, routes, limit }: Parameters<Store["claimTasks"]>[0]): ReturnType<Store["claimTasks"]> {
    const { reader, statements } = this.#parts;
    if (routes.length === 0) return { tasks: [], nextDueAt: null };
    const rows = await reader.rows<unknown[]>(statements.claimTasks, [worker, formsOf(routes), Math.max(0, limit)], "write");
    const tasks = rows.filter((row) => row[1] !== null).map((row) => claimedTaskOf(row.slice(1)));
    if (tasks.length > 0) this.#noteWork();
    return { tasks, nextDueAt: (rows[0]?.[0] ?? null) as number | null };
  }

  async inspectOwned(worker: WorkerKey): ReturnType<Store["inspectOwned"]> {
    const { reader, statements } = this.#parts;
    const rows = await reader.rows<[boolean, number, number, number, boolean]>(statements.owned, [worker], "read");
    const runs = rows.filter(([isRun]) => isRun).map(([, key, inboxCount, inboxSeen]) => ({ key, inboxCount, inboxSeen }));
    return { runs, tasks: rows.filter(([isRun]) => !isRun).map(([, key, , , cancelRequested]) => ({ key, cancelRequested })) };
  }

  async release({ worker, runs, tasks }: Parameters<Store["release"]>[0]): Promise<void> {
    const { reader, statements, hints } = this.#parts;
    await reader.query(statements.release, [worker, [...runs], [...tasks]], "write");
    hints.tellOthers(everything);
  }

  async retryParked(routes: readonly string[]): Promise<number> {
    const { reader, statements, hints } = this.#parts;
    if (routes.length === 0) return 0;
    const { rowCount } = await reader.query(statements.retryParked, [formsOf(routes)], "write");
    if ((rowCount ?? 0) > 0) hints.tellOthers(news.runs);
    return rowCount ?? 0;
  }

  // Reads. ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async loadHistory({ key, fromSeq, limit }: Parameters<Store["loadHistory"]>[0]): ReturnType<Store["loadHistory"]> {
    const { reader, statements } = this.#parts;
    return (await reader.rows<unknown[]>(statements.history, [key, fromSeq, limit], "read")).map(lineOf);
  }

  loadInboxes(runs: Parameters<Store["loadInboxes"]>[0]): ReturnType<Store["loadInboxes"]> {
    return loadInboxes(this.#parts.reader, this.#parts.statements, runs);
  }

  findRuns(targets: Parameters<Store["findRuns"]>[0]): ReturnType<Store["findRuns"]> {
    return findRuns(this.#parts.reader, this.#parts.statements, targets);
  }

  readEntries(options: Parameters<Store["readEntries"]>[0]): ReturnType<Store["readEntries"]> {
    return readEntries(this.#parts.reader, this.#parts.statements, options);
  }

  readChunks(options: Parameters<Store["readChunks"]>[0]): ReturnType<Store["readChunks"]> {
    return readChunks(this.#parts.reader, this.#parts.statements, options);
  }

  readStreamTail(options: Parameters<Store["readStreamTail"]>[0]): ReturnType<Store["readStreamTail"]> {
    return readStreamTail(this.#parts.reader, this.#parts.statements, options);
  }

  listRuns(options: Parameters<Store["listRuns"]>[0]): Promise<readonly RunRecord[]> {
    return listRuns(this.#parts.reader, this.#parts.statements, options);
  }

  onHint(callback: Parameters<Store["onHint"]>[0]): { stop(): void } {
    return this.#parts.hints.onHint(callback);
  }

  async close(): Promise<void> {
    const { hints, writer, reader, control } = this.#parts;
    hints.close();
    await Promise.allSettled([writer, reader, control].map((link) => link.close()));
  }
}

function addUp(pieces: readonly News[]): { readonly about: News; readonly pieces: number } {
  let [about, count] = [0, 0];
  for (const piece of pieces) {
    about |= piece;
    if (piece !== 0) count += 1;
  }
  return { about, pieces: count };
}

const formsOf = (routes: readonly string[]): string[] => [...new Set(routes)].map(indexForm);
