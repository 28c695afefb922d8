import { createRequire } from "node:module";
import { PerdureError } from "../../../errors.js";
import { currentHost, loadBuiltin } from "../../../platform/load-builtin.js";
import type { Host } from "../../../platform/load-builtin.js";
import type { SqliteConnection, SqliteDriver, SqliteDriverName } from "../driver.js";
import type { BetterSqlite3Database, BetterSqlite3Module } from "./better-sqlite3.js";
import { adoptBetterSqlite3, betterSqlite3Driver } from "./better-sqlite3.js";
import type { BunSqliteDatabase, BunSqliteModule } from "./bun-sqlite.js";
import { adoptBunSqlite, bunSqliteDriver } from "./bun-sqlite.js";
import type { LibsqlDatabase, LibsqlModule } from "./libsql.js";
import { adoptLibsql, libsqlDriver } from "./libsql.js";
import type { NodeSqliteDatabase, NodeSqliteModule } from "./node-sqlite.js";
import { adoptNodeSqlite, nodeSqliteDriver } from "./node-sqlite.js";

/** How to get at driver libraries; replaced in tests. */
export interface DriverSources {
  readonly host: Host;
  /** A module of the runtime, or undefined. */
  readonly builtin: (specifier: string) => unknown;
  /** A module from node_modules; throws if there is none. */
  readonly require: (specifier: string) => unknown;
}

/** A driver, or the reason why there is none. */
type Attempt = SqliteDriver | { readonly unusable: string };

// In order of preference: what comes with the runtime needs no installation; libsql is last because it carries an older SQLite.
const loaders: Readonly<Record<SqliteDriverName, (sources: DriverSources) => Attempt>> = {
  "bun:sqlite": ({ host, builtin }) => {
    if (host.name !== "bun") return { unusable: "exists on Bun only" };
    const module = builtin("bun:sqlite") as BunSqliteModule | undefined;
    return module === undefined ? { unusable: "this Bun does not have it" } : bunSqliteDriver(module);
  },
  "node:sqlite": ({ builtin }) => {
    const module = builtin("node:sqlite") as NodeSqliteModule | undefined;
    return module === undefined ? { unusable: "needs Node 22.13 or newer" } : nodeSqliteDriver(module);
  },
  "better-sqlite3": (sources) => {
    const version = versionOf("better-sqlite3", sources);
    // Its prebuilt binary loads there and then takes the process down on the first open.
    if (sources.host.nodeMajor < 22 && Number.parseInt(version ?? "0", 10) >= 13) {
      return { unusable: `version ${version} crashes on Node ${sources.host.nodeMajor}; it needs Node 22, or version 12` };
    }
    return required<BetterSqlite3Module>("better-sqlite3", sources, betterSqlite3Driver);
  },
  libsql: (sources) => required<LibsqlModule>("libsql", sources, libsqlDriver),
};

/**
 * The SQLite driver of this name, or the first that works here.
 * @throws PerdureError `driver_missing`, saying what to install.
 */
export function loadDriver(name?: SqliteDriverName, sources: DriverSources = systemSources()): SqliteDriver {
  if (name !== undefined && !Object.hasOwn(loaders, name)) {
    throw new PerdureError(
      "invalid_argument",
      `There is no SQLite driver "${String(name)}": choose one of ${Object.keys(loaders).join(", ")}.`,
    );
  }
  const names = name === undefined ? (Object.keys(loaders) as SqliteDriverName[]) : [name];
  const reasons: string[] = [];
  for (const candidate of names) {
    const attempt = loaders[candidate](sources);
    if (!("unusable" in attempt)) return attempt;
    reasons.push(`${candidate}: ${attempt.unusable}`);
  }
  const advice =
    name === undefined || name === "libsql"
      ? "Run `npm install libsql` (prebuilt, any Node), or use Node 22.13 or newer"
      : "Mend that, or leave the choice of driver to perdure";
  throw new PerdureError("driver_missing", `No usable SQLite driver. ${advice}. Tried: ${reasons.join("; ")}.`, {
    details: { tried: names },
  });
}

/**
 * Takes over a database that the application opened with one of the supported libraries.
 * @throws PerdureError `invalid_argument` if it is none of them.
 */
export function adoptDatabase(database: unknown): SqliteConnection {
  const has = (...members: string[]): boolean =>
    typeof database === "object" && database !== null && members.every((member) => member in database);
  if (has("prepare", "exec", "close")) {
    if (has("maxWriteReplicationIndex")) return adoptLibsql(database as LibsqlDatabase);
    if (has("defaultSafeIntegers", "inTransaction")) return adoptBetterSqlite3(database as BetterSqlite3Database);
    if (has("query", "inTransaction", "filename")) return adoptBunSqlite(database as BunSqliteDatabase);
    if (has("isOpen") || has("createFunction")) return adoptNodeSqlite(database as NodeSqliteDatabase);
  }
  throw new PerdureError("invalid_argument", "This is not a database opened with node:sqlite, bun:sqlite, better-sqlite3 or libsql.");
}

function required<Module>(specifier: string, sources: DriverSources, toDriver: (module: Module) => SqliteDriver): Attempt {
  try {
    const loaded = sources.require(specifier);
    const module = typeof loaded === "object" && loaded !== null && "default" in loaded ? loaded.default : loaded;
    return toDriver(module as Module);
  } catch (error) {
    const missing = (error as { code?: unknown }).code === "MODULE_NOT_FOUND" && String(error).includes(`'${specifier}'`);
    return { unusable: missing ? "is not installed" : `cannot be loaded (${firstLine(error)})` };
  }
}

function versionOf(specifier: string, sources: DriverSources): string | undefined {
  try {
    const { version } = sources.require(`${specifier}/package.json`) as { version?: unknown };
    return typeof version === "string" ? version : undefined;
  } catch {
    return undefined;
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
}

function systemSources(): DriverSources {
  return { host: currentHost(), builtin: loadBuiltin, require: createRequire(import.meta.url) };
}
