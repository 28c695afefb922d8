import type { Pulse, Store } from "../backend/backend.js";
import type { RunKey, TaskKey, WorkerKey } from "../backend/records.js";
import type { Logger } from "../api/context-types.js";
import type { Runtime, TimerHandle } from "../platform/runtime.js";

export interface HousekeeperOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly worker: () => WorkerKey | undefined;
  readonly knowsRun: (key: RunKey) => boolean;
  /** Since when (monotonic) the oldest call that may claim something is under way; Infinity if none is. */
  readonly claimingSinceMs: () => number;
  /** Those that are driven here. */
  readonly drivenRuns: () => Iterable<RunKey>;
  /** A run that is driven here is not this worker's any more: it was ended by force, or somebody has taken it. */
  readonly onLost: (key: RunKey) => void;
  readonly runningTasks: () => Iterable<TaskKey>;
  /** The inbox of a run of this worker holds this much. */
  readonly onMail: (key: RunKey, inboxCount: number) => void;
  /** A task was withdrawn while its body runs here. */
  readonly onWithdrawn: (key: TaskKey) => void;
  /** A task whose body runs here is to stop. */
  readonly onCancelled: (key: TaskKey) => void;
  /** There may be something to claim. */
  readonly onWork: () => void;
  readonly onTrouble: (message: string, error: unknown) => void;
}

/** Between two looks that tell strays from claims whose answers are on their way. */
const tidyMs = 1000;
/** A hint may mean mail for a run that is driven here: looked for at once, but not for every hint of a busy store. */
const hintedInspectMs = 100;

interface Owned {
  readonly worker: WorkerKey;
  readonly runs: readonly RunKey[];
  readonly tasks: readonly TaskKey[];
}

/** What this worker owns and does not know of: since when, at the latest. */
interface Strays {
  readonly worker: WorkerKey | undefined;
  readonly runs: ReadonlyMap<RunKey, number>;
  readonly tasks: ReadonlyMap<TaskKey, number>;
}

/** What a worker does now and then beside its work: looks for dead peers, and for what hints and lost answers left behind. */
export class Housekeeper {
  readonly #options: HousekeeperOptions;
  #hintTimer: TimerHandle | undefined;
  /** Runs that were driven here, and not owned, when it was last looked. */
  #missing: ReadonlySet<RunKey> = new Set();
  #strays: Strays = { worker: undefined, runs: new Map(), tasks: new Map() };
  #inspectedAtMs = -Infinity;
  #tidiedAtMs = -Infinity;
  /** What a pulse has asked for and is under way. */
  readonly #busy = new Set<string>();
  #hinted = false;
  #stopped = false;

  constructor(options: HousekeeperOptions) {
    this.#options = options;
  }

  /** Does what the store says there is to do. */
  onPulse({ hasCasualties, hasExpired, ownsAny }: Pulse): void {
    if (hasCasualties) this.#once("recover", () => this.#recover());
    if (hasExpired) this.#once("expire", () => this.#expire());
    const sinceMs = this.#options.runtime.monotonicMs() - this.#tidiedAtMs;
    if (!ownsAny && !this.#holdsAny()) return;
    // In between, what was hinted at in vain: mail, and the cancel of an activity.
    this.#once("inspect", sinceMs >= tidyMs ? () => this.#tidy() : async () => void (await this.#inspect()));
  }

  /** Something has changed in the store. */
  hint(): void {
    const { runtime } = this.#options;
    const waitMs = this.#inspectedAtMs + hintedInspectMs - runtime.monotonicMs();
    if (this.#hinted || this.#stopped) return;
    this.#hinted = true;
    const look = (): void => {
      this.#hinted = false;
      void this.#quietly(async () => void (await this.#inspect()));
    };
    this.#hintTimer = runtime.setTimer(look, Math.max(0, waitMs));
  }

  /** Looks at once for what it else finds at its next round; strays excepted, which two rounds must find. */
  look(): Promise<void> {
    return this.#quietly(async () => {
      await this.#expire();
      await this.#inspect();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#hintTimer?.cancel();
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

  /** Finds mail that nobody here was told of, and tasks that were withdrawn. Answers what the store says this worker owns. */
  async #inspect(): Promise<Owned | undefined> {
    const { store, runtime, worker: current, runningTasks, onMail, onWithdrawn, onCancelled } = this.#options;
    const worker = current();
    if (worker === undefined || this.#stopped) return undefined;
    this.#inspectedAtMs = runtime.monotonicMs();
    const running = new Set(runningTasks());
    const { runs, tasks } = await store.inspectOwned(worker);
    for (const { key, inboxCount } of runs) onMail(key, inboxCount);
    const held = new Set(tasks.map(({ key }) => key));
    for (const key of running) if (!held.has(key)) onWithdrawn(key);
    for (const { key, cancelRequested } of tasks) if (cancelRequested) onCancelled(key);
    return { worker, runs: runs.map(({ key }) => key), tasks: [...held] };
  }

  /** Tells runs of activities that nobody took, or of which nothing was heard, in time. */
  async #expire(): Promise<void> {
    if ((await this.#options.store.expireTasks()) > 0) this.#options.onWork();
  }

  /** The same, and gives back what was claimed by a call whose answer was lost. */
  async #tidy(): Promise<void> {
    const { store, runtime, knowsRun, claimingSinceMs, runningTasks, drivenRuns, onLost } = this.#options;
    const driven = [...drivenRuns()];
    this.#tidiedAtMs = runtime.monotonicMs();
    const owned = await this.#inspect();
    if (owned === undefined) return;
    const held = new Set(owned.runs);
    const missing = driven.filter((key) => !held.has(key));
    // Twice in a row: one that was just given up is about to be forgotten anyhow.
    for (const key of missing) if (this.#missing.has(key)) onLost(key);
    this.#missing = new Set(missing);
    const running = new Set(runningTasks());
    const now = runtime.monotonicMs();
    const known = this.#strays.worker === owned.worker ? this.#strays : undefined;
    const sinceWhen = (keys: readonly number[], since: ReadonlyMap<number, number> | undefined): ReadonlyMap<number, number> =>
      new Map(keys.map((key) => [key, since?.get(key) ?? now]));
    this.#strays = {
      worker: owned.worker,
      runs: sinceWhen(
        owned.runs.filter((key) => !knowsRun(key)),
        known?.runs,
      ),
      tasks: sinceWhen(
        owned.tasks.filter((key) => !running.has(key)),
        known?.tasks,
      ),
    };
    // Seen at two rounds, and since before any call began that has not been answered: what a claim has taken whose answer is merely on its way is no stray.
    const untilMs = Math.min(now, claimingSinceMs());
    const lostOf = (since: ReadonlyMap<number, number>): number[] => [...since].flatMap(([key, ms]) => (ms < untilMs ? [key] : []));
    const lost = { runs: lostOf(this.#strays.runs), tasks: lostOf(this.#strays.tasks) };
    if (lost.runs.length + lost.tasks.length > 0) await store.release({ worker: owned.worker, ...lost });
  }

  #holdsAny(): boolean {
    const { drivenRuns, runningTasks } = this.#options;
    for (const _ of drivenRuns()) return true;
    for (const _ of runningTasks()) return true;
    return false;
  }

  /** Unless it is under way already. */
  #once(name: string, work: () => Promise<void>): void {
    if (this.#stopped || this.#busy.has(name)) return;
    this.#busy.add(name);
    void this.#quietly(work).then(() => this.#busy.delete(name));
  }

  async #quietly(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.#stopped) this.#options.onTrouble("The store did not answer; trying again.", error);
    }
  }
}
