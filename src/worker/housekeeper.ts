import type { Store } from "../backend/backend.js";
import type { RunKey, TaskKey, WorkerKey } from "../backend/records.js";
import type { Logger } from "../api/context-types.js";
import type { Runtime, TimerHandle } from "../platform/runtime.js";

export interface HousekeeperOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** How often dead workers are looked for, in ms. */
  readonly recoverMs: number;
  readonly worker: () => WorkerKey | undefined;
  readonly knowsRun: (key: RunKey) => boolean;
  readonly runningTasks: () => Iterable<TaskKey>;
  /** The inbox of a run of this worker holds this much. */
  readonly onMail: (key: RunKey, inboxCount: number) => void;
  /** A task was withdrawn while its body runs here. */
  readonly onWithdrawn: (key: TaskKey) => void;
  /** There may be something to claim. */
  readonly onWork: () => void;
  readonly onTrouble: (message: string, error: unknown) => void;
}

const inspectMs = 1000;

/** What a worker does now and then beside its work: looks for dead peers, and for what hints and lost answers left behind. */
export class Housekeeper {
  readonly #options: HousekeeperOptions;
  readonly #timers = new Map<string, TimerHandle>();
  #strays: { readonly runs: ReadonlySet<RunKey>; readonly tasks: ReadonlySet<TaskKey> } = { runs: new Set(), tasks: new Set() };
  #stopped = false;

  constructor(options: HousekeeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#every("recover", this.#options.recoverMs, () => this.#recover());
    this.#every("inspect", inspectMs, () => this.#inspect());
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) timer.cancel();
  }

  /** Takes over from the dead, if there are any. Never rejects. */
  async recover(): Promise<void> {
    try {
      await this.#recover();
    } catch (error) {
      this.#options.onTrouble("The store did not say who is dead; asking again.", error);
    }
  }

  async #recover(): Promise<void> {
    const { store, logger, worker, onWork } = this.#options;
    const freed = await store.recover(worker() ?? null);
    if (freed.workers === 0) return;
    logger.info("Took over from dead workers.", freed);
    onWork();
  }

  /** Finds mail whose hint was lost, tasks that were withdrawn, and what was claimed by a call whose answer was lost. */
  async #inspect(): Promise<void> {
    const { store, worker: current, knowsRun, runningTasks, onMail, onWithdrawn } = this.#options;
    const worker = current();
    if (worker === undefined) return;
    const running = new Set(runningTasks());
    const { runs, tasks } = await store.inspectOwned(worker);
    for (const { key, inboxCount } of runs) onMail(key, inboxCount);
    const held = new Set(tasks);
    for (const key of running) if (!held.has(key)) onWithdrawn(key);
    const runningNow = new Set(runningTasks());
    const strayRuns = runs.map(({ key }) => key).filter((key) => !knowsRun(key));
    const strayTasks = tasks.filter((key) => !runningNow.has(key));
    // Seen twice in a row: a claim whose answer is merely on its way is not a stray.
    const lost = {
      runs: strayRuns.filter((key) => this.#strays.runs.has(key)),
      tasks: strayTasks.filter((key) => this.#strays.tasks.has(key)),
    };
    this.#strays = { runs: new Set(strayRuns), tasks: new Set(strayTasks) };
    if (lost.runs.length + lost.tasks.length > 0) await store.release({ worker, ...lost });
  }

  #every(name: string, intervalMs: number, work: () => Promise<void>): void {
    const { runtime, onTrouble } = this.#options;
    const next = (): void => {
      if (!this.#stopped)
        this.#timers.set(
          name,
          runtime.setTimer(() => void run(), intervalMs * (0.9 + runtime.random() * 0.2)),
        );
    };
    const run = async (): Promise<void> => {
      try {
        await work();
      } catch (error) {
        if (!this.#stopped) onTrouble("The store did not answer; trying again.", error);
      }
      next();
    };
    next();
  }
}
