import { StoreFailure } from "../../backend/index.js";
import type { Runtime } from "../../platform/runtime.js";
import { isCollision, isDisconnect, toStoreFailure } from "./failure.js";
import type { Answer, Session } from "./session.js";
import type { Source } from "./source.js";

/** A transaction, or a few reads, on one session. */
export interface Work {
  /** Runs statements that commit nothing. */
  run(statements: readonly string[]): Promise<readonly Answer[]>;
  /** Reads what others have committed by now, where `run` may show it as it was when the transaction began; null where `run` never does. */
  readonly readFresh: ((statements: readonly string[]) => Promise<readonly Answer[]>) | null;
  /** Runs statements the last of which commits (or that commit by themselves): if the answer is lost, nobody knows. */
  commit(statements: readonly string[]): Promise<readonly Answer[]>;
}

/** How often, and how long, a transaction that collided is begun again before its caller is told. */
const triesMax = 10;
const triesMaxMs = 3000;

export interface LanesOptions {
  readonly source: Source;
  readonly runtime: Runtime;
  readonly max: number;
}

/** The sessions of a store: as many as are needed at once, up to a limit, opened again where they were lost, with ever longer pauses while that fails. */
export class Lanes {
  readonly #options: LanesOptions;
  readonly #gate: Gate;
  readonly #idle: Session[] = [];
  readonly #all = new Set<Session>();
  #opening = 0;
  readonly #waiting: { readonly resolve: (session: Session | undefined) => void; readonly reject: (error: Error) => void }[] = [];
  #closed = false;

  constructor(options: LanesOptions) {
    this.#options = options;
    this.#gate = gate(options.runtime, options.source);
  }

  /** Does the work; all of it again, on a new session if need be, where it collided or was cut off before it could have been committed. */
  async transact<T>(work: (work: Work) => Promise<T>): Promise<T> {
    const { runtime, source } = this.#options;
    const endMs = runtime.monotonicMs() + triesMaxMs;
    for (let tries = 1; ; tries += 1) {
      const session = await this.#acquire();
      let sent: "work" | "commit" = "work";
      try {
        const result = await work({
          run: (statements) => ((sent = "work"), session.run(statements)),
          readFresh: null,
          commit: (statements) => ((sent = "commit"), session.run(statements)),
        });
        this.#release(session);
        return result;
      } catch (error) {
        const isCut = session.isLost;
        const isLost = isCut || isDisconnect(error);
        await this.#giveUp(session, isLost);
        const failure = isLost || isCollision(error) || isDriverError(error) ? toStoreFailure(error, sent, source.mask) : error;
        const mayRetry = failure instanceof StoreFailure && failure.outcome === "none" && (isLost || isCollision(error)) && !this.#closed;
        if (!mayRetry || tries >= triesMax || runtime.monotonicMs() > endMs) throw failure;
        if (!isCut) await pause(runtime, Math.min(50, 2 ** tries) * (0.5 + runtime.random()));
      }
    }
  }

  async #giveUp(session: Session, isLost: boolean): Promise<void> {
    if (isLost) return this.#discard(session);
    try {
      await session.run(["ROLLBACK"], 10_000);
      this.#release(session);
    } catch {
      this.#discard(session);
    }
  }

  async #acquire(): Promise<Session> {
    this.#assertOpen();
    for (;;) {
      const idle = this.#idle.pop();
      if (idle === undefined) break;
      if (!idle.isLost) return idle;
      this.#discard(idle);
    }
    if (this.#all.size + this.#opening < this.#options.max) return this.#open();
    const handed = await new Promise<Session | undefined>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    return handed ?? this.#acquire();
  }

  async #open(): Promise<Session> {
    this.#opening += 1;
    try {
      const session = await this.#gate();
      if (this.#closed) session.destroy();
      this.#assertOpen();
      this.#all.add(session);
      return session;
    } catch (error) {
      // One of those that wait has to find out for itself.
      this.#waiting.shift()?.resolve(undefined);
      throw error;
    } finally {
      this.#opening -= 1;
    }
  }

  #release(session: Session): void {
    if (session.isLost || this.#closed) return this.#discard(session);
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(session);
    else next.resolve(session);
  }

  #discard(session: Session): void {
    this.#all.delete(session);
    session.destroy();
    this.#waiting.shift()?.resolve(undefined);
  }

  close(): void {
    this.#closed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(closed());
    for (const session of this.#all) session.destroy();
    this.#all.clear();
  }

  #assertOpen(): void {
    if (this.#closed) throw closed();
  }
}

/** Opens connections; after a failure, those who come within a pause are told of it at once, so that a server that is down is not besieged. */
type Gate = () => Promise<Session>;

const pauseFirstMs = 20;
const pauseMaxMs = 2000;

export function gate(runtime: Runtime, source: Source): Gate {
  let failures = 0;
  let closedUntilMs = -Infinity;
  let last: unknown;
  return async () => {
    if (runtime.monotonicMs() < closedUntilMs) throw last;
    try {
      const session = await source.connect();
      failures = 0;
      return session;
    } catch (error) {
      last = error;
      closedUntilMs = runtime.monotonicMs() + Math.min(pauseMaxMs, pauseFirstMs * 2 ** failures) * (0.5 + runtime.random());
      failures += 1;
      throw error;
    }
  };
}

/** The driver's and the server's errors have a code; what is thrown by this package's own mistakes has none. */
const isDriverError = (error: unknown): boolean => error instanceof Error && "code" in error && !(error instanceof StoreFailure);

export const closed = (): StoreFailure =>
  new StoreFailure("closed", "The MySQL store was closed; open it again to use it.", { outcome: "none", transient: false });

const pause = (runtime: Runtime, delayMs: number): Promise<void> =>
  new Promise((resolve) => void runtime.setTimer(resolve, delayMs, { keepAlive: true }));
