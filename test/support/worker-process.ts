import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface WorkerProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  /** What it said so far. */
  readonly said: Record<string, unknown>[];
  alive(): boolean;
  /** Resolves with its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  signal(name: "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT"): void;
}

/** One line of the log that bodies write outside of perdure. */
export interface Effect {
  readonly run: string;
  readonly what: string;
  readonly pid: number;
  readonly at: number;
}

/** A database, an effect log, and the worker processes on them. */
export interface CrashSite {
  readonly database: string;
  readonly folder: string;
  /** Starts a worker; resolves once its engine is launched. */
  spawn(leaseMs?: number): Promise<WorkerProcess>;
  effects(): Effect[];
  dispose(): Promise<void>;
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => void setTimeout(resolve, 5));
}

export function createCrashSite(): CrashSite {
  const folder = mkdtempSync(join(tmpdir(), "perdure-crash-"));
  const database = join(folder, "a.db");
  const log = join(folder, "effects.jsonl");
  const workers: WorkerProcess[] = [];
  return {
    database,
    folder,
    async spawn(leaseMs = 10_000) {
      const worker = spawnWorker("crash-worker", [database, log, String(leaseMs)]);
      workers.push(worker);
      await until(() => worker.said.some((line) => "ready" in line) || !worker.alive());
      return worker;
    },
    effects() {
      const text = existsSync(log) ? readFileSync(log, "utf8") : "";
      // What follows the last line's end is being written.
      const lines = text.split("\n").slice(0, -1);
      return lines.map((line) => JSON.parse(line) as Effect);
    },
    async dispose() {
      for (const worker of workers) if (worker.alive()) worker.signal("SIGKILL");
      await Promise.all(workers.map(({ ended }) => ended));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Starts one of the programs under `test/fixtures`. */
export function spawnWorker(name: string, args: readonly string[]): WorkerProcess {
  const program = fileURLToPath(new URL(`../../build/test/fixtures/${name}.js`, import.meta.url));
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const said: Record<string, unknown>[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => void said.push(JSON.parse(line) as Record<string, unknown>));
  return {
    child,
    pid: child.pid ?? 0,
    said,
    alive: () => child.exitCode === null && child.signalCode === null,
    ended: new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal ?? "unknown"))),
    signal: (signal) => void child.kill(signal),
  };
}
