// Two worker processes, kept alive like a supervisor would: started, killed on request, started again. Every child is addressed by its own handle.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** What a worker process is started with. */
export interface WorkerSettings {
  readonly database: string;
  readonly effectsFolder: string;
  readonly workFolder: string;
  readonly pagesFolder: string;
  readonly paceMs: number;
}

/** A worker process's only message. */
export interface WorkerReady {
  readonly ready: true;
  readonly workerId: string;
}

/** A kill as the driver saw it. */
export interface Kill {
  /** Just before the signal was sent, in ms. */
  readonly at: number;
  readonly pid: number;
  readonly workerId: string;
  /** How the process ended: anything but SIGKILL means that it died by itself. */
  readonly signal: string | null;
  readonly replacedBy: number;
  /** When the replacement was ready, in ms. */
  readonly replacedAt: number;
}

interface Worker {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly workerId: string;
}

export interface WorkerPool {
  /** The pids that are alive now. */
  pids(): readonly number[];
  /** Kills the worker in this place with SIGKILL and starts another one in its place. */
  kill(place: number): Promise<Kill>;
  /** Ends all by SIGTERM, and by SIGKILL what is left after `graceMs`. Resolves with their exit codes. */
  stop(graceMs: number): Promise<readonly (number | null)[]>;
}

export async function startWorkers(count: number, settings: WorkerSettings, now: () => number): Promise<WorkerPool> {
  const children = new Set<ChildProcess>();
  let stopped = false;
  const start = async (): Promise<Worker> => {
    const child = fork(fileURLToPath(new URL("worker-process.js", import.meta.url)), [JSON.stringify(settings)], { execArgv: [] });
    children.add(child);
    child.once("exit", () => children.delete(child));
    return whenReady(child);
  };
  const workers = await Promise.all(Array.from({ length: count }, start));
  return {
    pids: () => workers.map(({ pid }) => pid),
    async kill(place) {
      const worker = workers[place];
      if (worker === undefined || stopped) throw new Error(`there is no worker in place ${place}`);
      const exit = once(worker.child, "exit");
      const at = now();
      worker.child.kill("SIGKILL");
      const [, signal] = (await exit) as [number | null, string | null];
      const next = await start();
      workers[place] = next;
      return { at, pid: worker.pid, workerId: worker.workerId, signal, replacedBy: next.pid, replacedAt: now() };
    },
    stop(graceMs) {
      stopped = true;
      return Promise.all([...children].map((child) => end(child, graceMs)));
    },
  };
}

async function whenReady(child: ChildProcess): Promise<Worker> {
  const gone = new AbortController();
  try {
    const [message] = (await Promise.race([
      once(child, "message", { signal: gone.signal }),
      once(child, "exit", { signal: gone.signal }).then(([code, signal]) => {
        throw new Error(`a worker process ended before it was ready (${String(signal ?? code)})`);
      }),
    ])) as [WorkerReady];
    if (child.pid === undefined) throw new Error("a worker process has no pid");
    return { child, pid: child.pid, workerId: message.workerId };
  } finally {
    gone.abort();
  }
}

async function end(child: ChildProcess, graceMs: number): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exit = once(child, "exit") as Promise<[number | null, string | null]>;
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  try {
    const [code] = await exit;
    return code;
  } finally {
    clearTimeout(timer);
  }
}
