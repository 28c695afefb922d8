/**
 * What must hold is held by constraints as far as they can say it:
 * - `run_fact (workflow_id, generation)`: one run of each generation, so that of two that would follow the same run only one can;
 * - `history (run, seq)` and `inbox (chain, position)`: a line or a place in the inbox is written once;
 * - `dedupe (chain, dedupe_key)`: a message is accepted once;
 * - `chunk (chain, stream, offset)` and `(…, writer, number)`: a place in a stream is written once, and so is what a body appends to it;
 * - `task (run, command)`: one task for each command.
 *
 * What changes with every turn (`run`) is narrow and apart from what never does (`run_fact`): a page then holds a hundred rows, and those that are
 * driven together are written together. `history` is in the order of its writing for the same reason: clustered by run, every line dirties a page of its
 * own, at twice the CPU and half the throughput.
 * Times are REAL, so that any number of milliseconds comes back as it was; whole ones are stored as integers all the same.
 */
import type { SqliteConnection } from "./driver.js";
import { assertKnownVersion, readSchemaVersion, stampSchemaVersion } from "./open-database.js";

/** One step in the life of the tables. */
export interface SqliteMigration {
  /** What `PRAGMA user_version` is after it. */
  readonly version: number;
  readonly title: string;
  readonly sql: string;
}

/** From this crash count on a run is a suspect. Written out in the indexes, whose conditions the statements repeat. */
export const suspectCrashCount = 2;

/**
 * The tables of a SQLite store, step by step, to be read or printed: opening a store applies what is missing. Released steps never change.
 * @example for (const { version, sql } of sqliteMigrations) console.log(`-- ${version}\n${sql}`);
 */
export const sqliteMigrations: readonly SqliteMigration[] = [
  {
    version: 1,
    title: "runs, their histories, inboxes and what they show, tasks, workers",
    sql: `
-- The last key of each kind: keys are never given out twice, not even after a deletion.
CREATE TABLE last_key (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  run INTEGER NOT NULL,
  task INTEGER NOT NULL,
  worker INTEGER NOT NULL
) STRICT;
INSERT INTO last_key (id, run, task, worker) VALUES (1, 0, 0, 0);

-- Names of workflows and activities, and the routes by which they are claimed.
CREATE TABLE name (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE worker (
  key INTEGER PRIMARY KEY,
  worker_id TEXT NOT NULL UNIQUE,
  lease_until REAL NOT NULL
) STRICT;

-- A chain is the runs that continue one another, named by the key of its first run.
-- status: 0 running, 1 parked, 2 completed, 3 failed, 4 cancelled, 5 terminated, 6 continued.
CREATE TABLE run (
  key INTEGER PRIMARY KEY,
  chain INTEGER NOT NULL,
  route INTEGER NOT NULL,
  status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 6),
  owner INTEGER,
  epoch INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  inbox_count INTEGER NOT NULL,
  inbox_seen INTEGER NOT NULL,
  due_at REAL,
  crash_count INTEGER NOT NULL DEFAULT 0,
  park_count INTEGER NOT NULL DEFAULT 0,
  is_suspect INTEGER NOT NULL DEFAULT 0,
  ended_at REAL,
  park_reason TEXT,
  CHECK (owner IS NULL OR (status <= 1 AND due_at IS NULL)),
  CHECK ((status <= 1) = (ended_at IS NULL))
) STRICT;
CREATE INDEX run_due ON run (route, due_at) WHERE owner IS NULL AND due_at IS NOT NULL AND crash_count < 2;
CREATE INDEX run_due_suspect ON run (route, due_at) WHERE owner IS NULL AND due_at IS NOT NULL AND crash_count >= 2;
CREATE INDEX run_owned ON run (owner) WHERE owner IS NOT NULL;
CREATE INDEX run_parked ON run (route) WHERE status = 1;
-- Most runs are the only one of their chain.
CREATE INDEX run_follower ON run (chain) WHERE chain <> key;

CREATE TABLE run_fact (
  key INTEGER PRIMARY KEY,
  workflow_id TEXT NOT NULL,
  generation INTEGER NOT NULL,
  run_id TEXT NOT NULL UNIQUE,
  name INTEGER NOT NULL,
  version TEXT,
  engine_version INTEGER NOT NULL,
  input_hash TEXT NOT NULL,
  created_at REAL NOT NULL,
  deadline_at REAL,
  parent_run_id TEXT,
  options TEXT,
  UNIQUE (workflow_id, generation)
) STRICT;
CREATE INDEX run_child ON run_fact (parent_run_id) WHERE parent_run_id IS NOT NULL;

CREATE TABLE history (
  run INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  at REAL NOT NULL,
  event TEXT NOT NULL,
  payload ANY
) STRICT;
CREATE UNIQUE INDEX history_by_run ON history (run, seq);

-- What no turn has taken yet.
CREATE TABLE inbox (
  chain INTEGER NOT NULL,
  position INTEGER NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  command INTEGER,
  attempt INTEGER,
  payload ANY,
  options TEXT,
  PRIMARY KEY (chain, position)
) STRICT, WITHOUT ROWID;

-- The keys of the messages that an open chain has accepted.
CREATE TABLE dedupe (
  chain INTEGER NOT NULL,
  dedupe_key TEXT NOT NULL,
  PRIMARY KEY (chain, dedupe_key)
) STRICT, WITHOUT ROWID;

-- What is read without any worker belongs to the chain.
CREATE TABLE entry (
  chain INTEGER NOT NULL,
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  payload ANY,
  PRIMARY KEY (chain, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE chunk (
  chain INTEGER NOT NULL,
  stream TEXT NOT NULL,
  "offset" INTEGER NOT NULL,
  writer TEXT NOT NULL,
  number INTEGER NOT NULL,
  restart_at INTEGER,
  payload ANY,
  PRIMARY KEY (chain, stream, "offset")
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX chunk_by_writer ON chunk (chain, stream, writer, number) WHERE number > 0;

CREATE TABLE attribute (
  chain INTEGER NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (chain, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX attribute_by_value ON attribute (name, value, chain);

-- due_at is null while nobody may claim the task although nobody has it: whoever has its token will finish it.
CREATE TABLE task (
  key INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  command INTEGER NOT NULL,
  name INTEGER NOT NULL,
  route INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  due_at REAL,
  owner INTEGER,
  epoch INTEGER NOT NULL DEFAULT 0,
  crash_count INTEGER NOT NULL DEFAULT 0,
  expires_at REAL,
  heartbeat_ms REAL,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  options TEXT NOT NULL,
  input ANY NOT NULL,
  details ANY,
  UNIQUE (run, command)
) STRICT;
CREATE INDEX task_due ON task (route, due_at) WHERE owner IS NULL AND due_at IS NOT NULL;
CREATE INDEX task_owned ON task (owner) WHERE owner IS NOT NULL;
CREATE INDEX task_expiring ON task (expires_at) WHERE expires_at IS NOT NULL;

-- For people: perdure itself does not use it.
CREATE VIEW runs AS SELECT
  r.key, f.workflow_id, f.run_id, n.name,
  CASE r.status WHEN 0 THEN 'running' WHEN 1 THEN 'parked' WHEN 2 THEN 'completed' WHEN 3 THEN 'failed'
    WHEN 4 THEN 'cancelled' WHEN 5 THEN 'terminated' ELSE 'continued' END AS status,
  strftime('%Y-%m-%dT%H:%M:%fZ', f.created_at / 1000.0, 'unixepoch') AS created_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', r.ended_at / 1000.0, 'unixepoch') AS ended_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', r.due_at / 1000.0, 'unixepoch') AS due_at,
  w.worker_id AS owner, r.last_seq, r.park_reason
FROM run AS r JOIN run_fact AS f ON f.key = r.key JOIN name AS n ON n.id = f.name LEFT JOIN worker AS w ON w.key = r.owner;
`,
  },
];

export const newestVersion = sqliteMigrations.at(-1)?.version ?? 0;

/** Do the tables lack a migration? @throws PerdureError `backend_mismatch` if they are newer than this code */
export function needsMigration(connection: SqliteConnection, path: string): boolean {
  assertKnownVersion(connection, path, newestVersion);
  return readSchemaVersion(connection) < newestVersion;
}

/** Brings the tables up to date. To be called inside a write transaction: two processes may open a new file at once. */
export function migrate(connection: SqliteConnection, path: string): void {
  if (!needsMigration(connection, path)) return;
  const version = readSchemaVersion(connection);
  for (const migration of sqliteMigrations) if (migration.version > version) connection.exec(migration.sql);
  stampSchemaVersion(connection, newestVersion);
}
