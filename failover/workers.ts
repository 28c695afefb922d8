import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { openPost, type Channel, type Message, type Post } from "../bench/children.js";
import type { Place } from "../bench/sites.js";

/** What a worker process is started with. */
export interface WorkerSettings {
  readonly place: Place;
  readonly effectFile: string;
  /** Undefined: the library's default. */
  readonly leaseMs: number | undefined;
}

/** Tells a worker to start runs with these inputs. */
export interface Begin extends Message {
  readonly type: "begin";
  readonly inputs: readonly number[];
}

export interface Worker extends Post {
  readonly pid: number;
  signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void;
  /** Resolves when the process is gone. */
  readonly gone: Promise<void>;
}

export interface WorkerPool {
  /** Starts a worker; resolves when its engine is launched. */
  start(settings: WorkerSettings): Promise<Worker>;
  /** Ends all that are left, at once. */
  killAll(): Promise<void>;
}

export function workerPool(): WorkerPool {
  const living = new Set<Worker>();
  const killAll = async (): Promise<void> => {
    const left = [...living];
    for (const worker of left) worker.signal("SIGKILL");
    await Promise.all(left.map(({ gone }) => gone));
  };
  // Also when an exit does not wait: a worker that is stopped would not see that it was left alone.
  process.on("exit", () => void killAll());
  return {
    async start(settings) {
      const worker = spawnWorker(settings);
      living.add(worker);
      void worker.gone.then(() => living.delete(worker));
      await worker.hear("ready");
      return worker;
    },
    killAll,
  };
}

function spawnWorker(settings: WorkerSettings): Worker {
  const entry = fileURLToPath(new URL("./worker-process.js", import.meta.url));
  const child = fork(entry, [JSON.stringify(settings)], { execArgv: [], stdio: ["ignore", 2, 2, "ipc"] });
  const channel: Channel = {
    on: (event, listener) => child.on(event, listener),
    send: (message, callback) => void child.send(message, callback),
  };
  return {
    ...openPost(channel, "exit"),
    pid: child.pid ?? Number.NaN,
    signal: (name) => void child.kill(name),
    gone: once(child, "exit").then(() => undefined),
  };
}
