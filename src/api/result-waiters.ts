import type { Store } from "../backend/backend.js";
import type { HistoryRecord, RunOutcome, RunStatus } from "../backend/records.js";
import { readEnvelope } from "../core/events.js";
import { PerdureError } from "../errors.js";
import type { Runtime } from "../platform/runtime.js";
import { Poller } from "../worker/poller.js";

/** What is waited for: the end of the newest run of an id, or of exactly one run. */
export type EndTarget = { readonly workflowId: string } | { readonly runId: string };

/** How a run ended, its payload still encoded. */
export interface RunEnd {
  readonly workflowId: string;
  readonly status: Exclude<RunStatus, "running" | "parked">;
  readonly last: HistoryRecord;
}

interface Waiter {
  readonly target: EndTarget;
  readonly resolve: (end: RunEnd) => void;
  readonly reject: (error: unknown) => void;
}

/** Ends that are kept for those who ask a moment later: `start` and then `result` of a short run needs no read. */
const recentMax = 1024;
const recentPayloadMax = 4096;
/** How many runs one read asks for. */
const readMax = 500;
/** After a look at everybody, rest so many times as long as it took: hints come every few milliseconds, and thousands may wait. */
const restFactor = 3;

/** Everybody in this process who waits for the end of a run. Local ends are told at once; others are read on a hint, and now and then. */
export class ResultWaiters {
  readonly #store: Store;
  readonly #waiters = new Set<Waiter>();
  /** The waiters by what they wait for. The end of a run must not cost a look at all who wait: with n runs under way that is n² looks. */
  readonly #byTarget = new Map<string, readonly Waiter[]>();
  readonly #recent = new Map<string, RunEnd>();
  /** The run ids of `#recent` in the order they came, as a ring: a Map finds its oldest key only by passing over all that were deleted before it. */
  readonly #recentIds: string[] = [];
  #recentNext = 0;
  /** Those that have not been looked for yet: somebody who begins to wait is no reason to look for all others again. */
  #fresh: Waiter[] = [];
  #hinted = false;
  #lookedMs = -Infinity;
  #restUntilMs = -Infinity;
  readonly #runtime: Runtime;
  readonly #intervalMs: number;
  readonly #poller: Poller;

  constructor(store: Store, runtime: Runtime, intervalMs: number) {
    this.#store = store;
    this.#runtime = runtime;
    this.#intervalMs = intervalMs;
    this.#poller = new Poller({ runtime, intervalMs, poll: () => this.#poll() });
  }

  /** Waits for the end. `driven`: this process drives the run now, so there is no need to look yet. */
  wait(target: EndTarget, driven: boolean): { readonly end: Promise<RunEnd>; readonly stop: () => void } {
    const recent = "runId" in target ? this.#recent.get(target.runId) : undefined;
    if (recent !== undefined) return { end: Promise.resolve(recent), stop: () => undefined };
    let waiter!: Waiter;
    const end = new Promise<RunEnd>((resolve, reject) => {
      waiter = { target, resolve, reject };
    });
    this.#add(waiter);
    if (!driven) {
      this.#fresh.push(waiter);
      this.#poller.wake();
    }
    return { end, stop: () => this.#remove(waiter) };
  }

  /** A run of this process has ended. */
  tell(workflowId: string, runId: string, last: HistoryRecord): void {
    const end: RunEnd = { workflowId, status: statusOf(last), last };
    const size = last.payload?.length ?? 0;
    if (size <= recentPayloadMax) this.#keep(runId, end);
    for (const waiter of this.#byTarget.get(runKey(runId)) ?? []) this.#settle(waiter, end);
    // Whoever waits for the id waits for the run that its chain ends with.
    if (end.status !== "continued") for (const waiter of this.#byTarget.get(idKey(workflowId)) ?? []) this.#settle(waiter, end);
  }

  /** Another process may have ended a run. */
  hint(): void {
    if (this.#waiters.size === 0) return;
    this.#hinted = true;
    const restMs = this.#restUntilMs - this.#runtime.monotonicMs();
    if (restMs > 0) this.#poller.wakeIn(restMs);
    else this.#poller.wake();
  }

  close(error: PerdureError): void {
    this.#poller.stop();
    for (const waiter of [...this.#waiters]) {
      this.#remove(waiter);
      waiter.reject(error);
    }
  }

  async #poll(): Promise<number | null> {
    const startMs = this.#runtime.monotonicMs();
    const isTime = this.#hinted || startMs - this.#lookedMs >= this.#intervalMs / 2;
    const everybody = isTime && startMs >= this.#restUntilMs;
    const waiting = everybody ? [...this.#waiters] : this.#fresh.filter((waiter) => this.#waiters.has(waiter));
    this.#fresh = [];
    if (everybody) this.#hinted = false;
    await this.#lookFor(waiting);
    const nowMs = this.#runtime.monotonicMs();
    if (everybody) {
      this.#lookedMs = nowMs;
      // An outage that held this look up is no reason to rest.
      this.#restUntilMs = nowMs + Math.min(this.#intervalMs, restFactor * (nowMs - startMs));
    }
    if (this.#waiters.size === 0) this.#poller.stop();
    return this.#hinted ? Math.max(1, this.#restUntilMs - nowMs) : null;
  }

  async #lookFor(waiting: readonly Waiter[]): Promise<void> {
    try {
      for (let from = 0; from < waiting.length; from += readMax) {
        const page = waiting.slice(from, from + readMax);
        const found = await this.#store.findRuns(page.map((waiter) => waiter.target));
        for (const [index, waiter] of page.entries()) this.#look(waiter, found[index] ?? null);
      }
    } catch {
      // The store is out of reach: ask again later. Whoever waits has a timeout of their own.
    }
  }

  #look(waiter: Waiter, found: RunOutcome | null): void {
    if (found === null) {
      this.#remove(waiter);
      const id = "runId" in waiter.target ? waiter.target.runId : waiter.target.workflowId;
      waiter.reject(new PerdureError("not_found", `There is no run "${id}".`, { details: { id } }));
    } else if (found.last !== null && found.run.status !== "running" && found.run.status !== "parked") {
      this.#settle(waiter, { workflowId: found.run.workflowId, status: found.run.status, last: found.last });
    }
  }

  #keep(runId: string, end: RunEnd): void {
    if (!this.#recent.has(runId)) {
      const oldest = this.#recentIds[this.#recentNext];
      if (oldest !== undefined) this.#recent.delete(oldest);
      this.#recentIds[this.#recentNext] = runId;
      this.#recentNext = (this.#recentNext + 1) % recentMax;
    }
    this.#recent.set(runId, end);
  }

  #settle(waiter: Waiter, end: RunEnd): void {
    this.#remove(waiter);
    waiter.resolve(end);
  }

  #add(waiter: Waiter): void {
    this.#waiters.add(waiter);
    const key = keyOf(waiter.target);
    const sharing = this.#byTarget.get(key);
    this.#byTarget.set(key, sharing === undefined ? [waiter] : [...sharing, waiter]);
    if (this.#waiters.size === 1) this.#poller.resume();
  }

  // The poller is left to its timer when nobody waits any more: under load somebody soon does, and setting a timer anew each time costs more than one
  // poll that finds nothing to ask.
  #remove(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    const key = keyOf(waiter.target);
    const left = this.#byTarget.get(key)?.filter((one) => one !== waiter) ?? [];
    if (left.length === 0) this.#byTarget.delete(key);
    else this.#byTarget.set(key, left);
  }
}

const runKey = (runId: string): string => `run ${runId}`;
const idKey = (workflowId: string): string => `id ${workflowId}`;
const keyOf = (target: EndTarget): string => ("runId" in target ? runKey(target.runId) : idKey(target.workflowId));

function statusOf(last: HistoryRecord): RunEnd["status"] {
  const { kind } = readEnvelope(last.event);
  switch (kind) {
    case "run_completed":
      return "completed";
    case "run_cancelled":
      return "cancelled";
    case "run_terminated":
      return "terminated";
    case "run_continued":
      return "continued";
    default:
      return "failed";
  }
}
