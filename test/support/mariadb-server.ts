/** A MariaDB server of the tests' own: installed by apt-get where it is absent and that is permitted, in a temporary folder, on a free port, stopped by its pid. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mysql from "mysql2/promise";
import { freePort } from "./free-port.js";

export interface MariadbServer {
  /** Of a user who may do everything; names no database. */
  readonly url: string;
  /** Makes an empty database. */
  database(): Promise<MariadbDatabase>;
  /** Runs statements as that user. */
  execute(...statements: readonly string[]): Promise<readonly Record<string, unknown>[]>;
  /** Of its process; undefined while it is down, and for one that the environment names. */
  pid(): number | undefined;
  /** Ends the server: as a crash does, or with SIGTERM in order. */
  kill(signal?: "SIGKILL" | "SIGTERM"): Promise<void>;
  /** Starts it again on the same data and port. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface MariadbDatabase {
  readonly name: string;
  readonly url: string;
  drop(): Promise<void>;
}

export interface MariadbOptions {
  /** Must commits reach the disk? Default false: the tests end the server's process, not the machine. */
  readonly durable?: boolean;
  /** A server that the test may end and start again; never one that the environment names. Default false. */
  readonly own?: boolean;
  /** More options of its program, such as `--version=…`. Only of a server of one's own. */
  readonly settings?: readonly string[];
}

const user = "perdure_test";
export const password = "pass-word-that-no-log-may-show";
const options = ["--no-defaults", "--skip-name-resolve", "--bind-address=127.0.0.1", "--performance-schema=OFF"];

/** @throws Error if there is no server to be had, which `CI` makes a failure; without it the caller is told by undefined, and the reader by one line. */
export async function mariadbServer({ durable = false, own = false, settings = [] }: MariadbOptions = {}): Promise<
  MariadbServer | undefined
> {
  const given = process.env["PERDURE_MYSQL_URL"];
  if (given !== undefined && given !== "" && !own) return serverAt(given);
  if (!isInstalled("Set PERDURE_MYSQL_URL to one, or install mariadb-server")) return undefined;
  const place = await makePlace();
  place.run("mariadb-install-db", [`--datadir=${place.data}`, "--auth-root-authentication-method=normal", "--skip-test-db"]);
  // 2: safe in the hands of the operating system, and so safe from the death of the server's process. 0 would lose its last second.
  const flush = `--innodb-flush-log-at-trx-commit=${durable ? 1 : 2}`;
  return serveFrom(place, ["--skip-log-bin", "--innodb-log-file-size=64M", flush, ...settings]);
}

/** Says so, once and loudly, if MariaDB or the file that is asked for cannot be had. @throws Error with `CI=true` */
export function isInstalled(remedy: string, file?: string): boolean {
  const reason = install() ?? (file === undefined || existsSync(file) ? undefined : `it has no ${file}`);
  if (reason === undefined) return true;
  const message = `No MariaDB server: ${reason}. ${remedy}.`;
  if (process.env["CI"] !== undefined && process.env["CI"] !== "") throw new Error(message);
  process.stderr.write(`\n!!! ${message} The tests of perdure/mysql DID NOT RUN.\n`);
  return false;
}

const binary = (name: string): string | undefined =>
  [`/usr/sbin/${name}`, `/usr/bin/${name}`, `/usr/local/bin/${name}`].find((path) => existsSync(path));

/** Why there is no server, if there is none. */
function install(): string | undefined {
  if (binary("mariadbd") !== undefined) return undefined;
  if (process.getuid?.() !== 0) return "it is not installed, and only root may install it";
  const aptGet = binary("apt-get");
  if (aptGet === undefined) return "it is not installed, and there is no apt-get";
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  for (const args of [
    ["update", "-qq"],
    ["install", "-y", "-qq", "--no-install-recommends", "mariadb-server"],
  ]) {
    const { status, stderr } = spawnSync(aptGet, args, { env, encoding: "utf8", timeout: 300_000 });
    if (status !== 0 && args[0] === "install")
      return `apt-get could not install it (${stderr.trim().split("\n").at(-1) ?? "no reason given"})`;
  }
  return binary("mariadbd") === undefined ? "apt-get installed it, but not where it is looked for" : undefined;
}

export interface MariadbPlace {
  readonly folder: string;
  readonly data: string;
  readonly port: number;
  /** Runs a program of MariaDB as the user of the server. */
  run(program: string, args: readonly string[]): void;
}

/** A folder that belongs to the user of the server, and a port. @param copied data that the server begins with */
export async function makePlace(copied?: string): Promise<MariadbPlace> {
  const folder = mkdtempSync(join(tmpdir(), "perdure-mariadb-"));
  const data = join(folder, "data");
  if (copied === undefined) mkdirSync(data);
  // Keeps owners and modes.
  else execFileSync("cp", ["-a", copied, data]);
  chmodSync(folder, 0o755);
  if (isRoot) {
    const [uid = 0, gid = 0] = ["-u", "-g"].map((flag) => Number(execFileSync("id", [flag, "mysql"], { encoding: "utf8" })));
    for (const path of [folder, data]) chownSync(path, uid, gid);
  }
  const run = (program: string, args: readonly string[]): void =>
    void execFileSync(binary(program) ?? program, ["--no-defaults", ...asUser, temporary(folder), ...args], { stdio: "pipe" });
  return { folder, data, port: await freePort(), run };
}

/** Of its own: a server that starts removes the temporary tables of others from where it keeps its own. */
const temporary = (folder: string): string => `--tmpdir=${folder}`;

const isRoot = process.getuid?.() === 0;
const asUser = isRoot ? ["--user=mysql"] : [];

/** Starts a server on the data of the place; `settings` of this start alone: those of `first`. */
export async function serveFrom(place: MariadbPlace, settings: readonly string[], first: readonly string[] = []): Promise<MariadbServer> {
  const { folder, data, port } = place;
  const init = join(folder, "init.sql");
  writeFileSync(
    init,
    `CREATE USER IF NOT EXISTS ${user}@'%' IDENTIFIED BY '${password}';\nGRANT ALL ON *.* TO ${user}@'%' WITH GRANT OPTION;\n`,
    { mode: 0o644 },
  );
  const log = join(folder, "log");
  const where = [
    `--datadir=${data}`,
    `--socket=${join(folder, "socket")}`,
    `--port=${port}`,
    `--pid-file=${join(folder, "pid")}`,
    `--init-file=${init}`,
  ];
  const args = [...options, ...asUser, temporary(folder), ...settings, ...where];
  let child: ChildProcess | undefined;
  const endWithUs = (): void => void child?.kill("SIGKILL");

  const server = clientOf(`mysql://${user}:${password}@127.0.0.1:${port}`);
  const start = async (more: readonly string[] = []): Promise<void> => {
    const started = spawn(binary("mariadbd") ?? "mariadbd", [...args, ...more], { stdio: ["ignore", "ignore", "pipe"] });
    started.stderr?.on("data", (chunk: Buffer) => appendFileSync(log, chunk));
    child = started;
    await untilReady(server, started, log);
  };
  const end = async (signal: "SIGKILL" | "SIGTERM"): Promise<void> => {
    const ending = child;
    child = undefined;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const exited = once(ending, "exit");
    ending.kill(signal);
    await exited;
  };
  process.once("exit", endWithUs);
  const guard = guardOf(folder);
  await start(first);
  return {
    ...server,
    pid: () => child?.pid,
    start: () => start(),
    kill: (signal = "SIGKILL") => end(signal),
    stop: async () => {
      // What it holds is thrown away, so it need not put it in order.
      await end("SIGKILL");
      process.removeListener("exit", endWithUs);
      rmSync(folder, { recursive: true, force: true });
      guard.stdin.end();
    },
  };
}

/** Reads until the pipe ends, which it does with this process, even after kill -9; then the server has nobody left that it could work for. */
function guardOf(folder: string) {
  const script = 'cat >/dev/null; p=$(cat "$0/pid") && [ "$(cat "/proc/$p/comm")" = mariadbd ] && kill -KILL "$p"; sleep 0.2; rm -rf "$0"';
  const guard = spawn("/bin/sh", ["-c", script, folder], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  guard.unref();
  (guard.stdin as unknown as Socket).unref();
  return guard;
}

function serverAt(url: string): MariadbServer {
  const refuse = async (): Promise<void> => {
    throw new Error("A server that the environment names is not the tests' to end.");
  };
  return { ...clientOf(url), pid: () => undefined, kill: refuse, start: refuse, stop: async () => undefined };
}

let databases = 0;

function clientOf(url: string): Pick<MariadbServer, "url" | "database" | "execute"> {
  const execute: MariadbServer["execute"] = async (...statements) => {
    const connection = await mysql.createConnection(url);
    try {
      let rows: unknown;
      for (const statement of statements) [rows] = await connection.query(statement);
      return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
    } finally {
      connection.destroy();
    }
  };
  return {
    url,
    execute,
    database: async () => {
      databases += 1;
      const name = `perdure_${process.pid}_${databases}`;
      await execute(`DROP DATABASE IF EXISTS ${name}`, `CREATE DATABASE ${name}`);
      const location = new URL(url);
      location.pathname = `/${name}`;
      return { name, url: location.href, drop: async () => void (await execute(`DROP DATABASE IF EXISTS ${name}`)) };
    },
  };
}

async function untilReady(server: Pick<MariadbServer, "execute">, child: ChildProcess, log: string): Promise<void> {
  for (let tries = 0; tries < 2400; tries += 1) {
    if (child.exitCode !== null) throw new Error(`MariaDB ended at once:\n${readFileSync(log, "utf8").slice(-2000)}`);
    try {
      await server.execute("SELECT 1");
      return;
    } catch {
      await new Promise((resolve) => void setTimeout(resolve, 25));
    }
  }
  throw new Error(`MariaDB did not come up:\n${readFileSync(log, "utf8").slice(-2000)}`);
}
