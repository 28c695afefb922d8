import { PerdureError } from "../../errors.js";

/** The quoted names of the tables. */
export interface Tables {
  readonly migration: string;
  readonly name: string;
  readonly worker: string;
  readonly run: string;
  readonly fact: string;
  readonly history: string;
  readonly inbox: string;
  readonly dedupe: string;
  readonly task: string;
  readonly follower: string;
  readonly child: string;
  readonly entry: string;
  readonly chunk: string;
  readonly attribute: string;
}

const prefixPattern = /^[A-Za-z_][A-Za-z0-9_]{0,39}$/;

/** @throws PerdureError `invalid_argument` */
export function tablesOf(prefix: string): Tables {
  if (!prefixPattern.test(prefix)) {
    throw new PerdureError(
      "invalid_argument",
      `The table prefix ${JSON.stringify(prefix)} cannot be used. Give up to 40 letters, digits and underscores, not beginning with a digit.`,
    );
  }
  const table = (name: string): string => `\`${prefix}${name}\``;
  return {
    migration: table("migration"),
    name: table("name"),
    worker: table("worker"),
    run: table("run"),
    fact: table("run_fact"),
    history: table("history"),
    inbox: table("inbox"),
    dedupe: table("dedupe"),
    task: table("task"),
    follower: table("follower"),
    child: table("child"),
    entry: table("entry"),
    chunk: table("chunk"),
    attribute: table("attribute"),
  };
}

export interface Migration {
  readonly version: number;
  readonly title: string;
  /** May be repeated from the beginning: a server commits every table by itself. */
  readonly statements: readonly string[];
}

/** From this crash count on a run is a suspect. */
export const suspectCrashCount = 2;

const options = "ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
const payload = (name: string): string => `${name}_text LONGTEXT NULL, ${name}_bytes LONGBLOB NULL`;
/** A key by idKey, and the whole id where the key is a hash of it. */
const id = (name: string, needed: "NOT NULL" | "NULL" = "NOT NULL"): string =>
  `${name}_key VARBINARY(64) ${needed}, ${name}_long TEXT NULL`;

/**
 * The tables, step by step; released steps never change. What must hold is held by constraints as far as they can say it:
 * - `run_fact (workflow_key, superseded)`: `superseded` is 0 while a run is the newest of its workflow id, and its own key from then on, so there is one
 *   newest, found by one look however many came before it;
 * - `history (run, seq)` and `inbox (chain, position)`: a line or a place in the inbox is written once;
 * - `dedupe (chain, dedupe_key)`: a message is accepted once;
 * - `task (run, command)`: one task for each command;
 * - `chunk (chain, stream_key, place)`: a place in a stream is given once.
 *
 * What changes with every turn (`run`) is narrow and apart from what never does (`run_fact`). MySQL has no partial indexes: instead `due_at` (of tasks:
 * `claimable_at`) is null while nobody can claim the row, and `lane` keeps parked runs and suspects apart. Times are DOUBLE, so that any number of
 * milliseconds comes back as it was.
 *
 * What few runs have is in tables of its own, so that the others do not pay for an index of it: `follower` (the runs of a chain after its first), `child`,
 * `attribute`. The chain of a run has the key of its first run.
 */
export function migrationsOf(tables: Tables): readonly Migration[] {
  const t = tables;
  return [
    {
      version: 1,
      title: "runs, their histories, inboxes and shelves, tasks, workers",
      statements: [
        `CREATE TABLE IF NOT EXISTS ${t.name} (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, ${id("name")}, UNIQUE KEY by_name (name_key)) ${options}`,
        // locked_on: the server, and when it was started, on which the worker holds the lock of this name; null: only its lease tells of its death.
        `CREATE TABLE IF NOT EXISTS ${t.worker} (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, ${id("worker")}, lock_name VARCHAR(64) NOT NULL,
  locked_on VARCHAR(255) NULL, lease_until DOUBLE NOT NULL, beat INT NOT NULL DEFAULT 0, UNIQUE KEY by_worker (worker_key)) ${options}`,
        `CREATE TABLE IF NOT EXISTS ${t.fact} (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, ${id("workflow")}, superseded BIGINT NOT NULL, ${id("run")},
  name INT NOT NULL, version TEXT NULL, engine_version INT NOT NULL, input_hash TEXT NOT NULL, created_at DOUBLE NOT NULL, deadline_at DOUBLE NULL,
  ${id("parent", "NULL")}, options LONGTEXT NULL,
  UNIQUE KEY by_workflow (workflow_key, superseded), UNIQUE KEY by_run (run_key)) ${options}`,
        // status: 0 running, 1 parked, 2 completed, 3 failed, 4 cancelled, 5 terminated, 6 continued. lane: +1 suspect, +2 parked.
        `CREATE TABLE IF NOT EXISTS ${t.run} (id BIGINT NOT NULL PRIMARY KEY, chain BIGINT NOT NULL, route INT NOT NULL, status TINYINT NOT NULL,
  lane TINYINT NOT NULL, owner BIGINT NULL, epoch INT NOT NULL, last_seq INT NOT NULL, inbox_count INT NOT NULL, inbox_seen INT NOT NULL,
  due_at DOUBLE NULL, crash_count INT NOT NULL, park_count INT NOT NULL, is_suspect TINYINT NOT NULL, has_tasks TINYINT NOT NULL,
  has_keys TINYINT NOT NULL, ended_at DOUBLE NULL, park_reason LONGTEXT NULL,
  KEY due (lane, route, due_at), KEY owned (owner),
  CHECK (status BETWEEN 0 AND 6), CHECK (owner IS NULL OR (status <= 1 AND due_at IS NULL)), CHECK ((status <= 1) = (ended_at IS NULL))) ${options}`,
        `CREATE TABLE IF NOT EXISTS ${t.history} (run BIGINT NOT NULL, seq INT NOT NULL, at DOUBLE NOT NULL, event LONGTEXT NOT NULL, ${payload("payload")},
  PRIMARY KEY (run, seq)) ${options}`,
        `CREATE TABLE IF NOT EXISTS ${t.inbox} (chain BIGINT NOT NULL, position INT NOT NULL, kind TINYINT NOT NULL, name TEXT NOT NULL, command INT NULL,
  attempt INT NULL, ${payload("payload")}, options LONGTEXT NULL, PRIMARY KEY (chain, position)) ${options}`,
        `CREATE TABLE IF NOT EXISTS ${t.dedupe} (chain BIGINT NOT NULL, dedupe_key VARBINARY(64) NOT NULL, PRIMARY KEY (chain, dedupe_key)) ${options}`,
        // detached: 1 once its worker has given the claim up for whoever will finish it from outside.
        `CREATE TABLE IF NOT EXISTS ${t.task} (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, run BIGINT NOT NULL, command INT NOT NULL, name INT NOT NULL,
  route INT NOT NULL, attempt INT NOT NULL, due_at DOUBLE NOT NULL, claimable_at DOUBLE NULL, expires_at DOUBLE NULL, heartbeat_ms DOUBLE NULL,
  owner BIGINT NULL, epoch INT NOT NULL DEFAULT 0, crash_count INT NOT NULL DEFAULT 0, cancel_requested TINYINT NOT NULL DEFAULT 0,
  detached TINYINT NOT NULL DEFAULT 0, options LONGTEXT NOT NULL, ${payload("input")}, ${payload("details")},
  UNIQUE KEY by_command (run, command), KEY due (route, claimable_at), KEY owned (owner), KEY expiring (expires_at)) ${options}`,
        `CREATE TABLE IF NOT EXISTS ${t.follower} (chain BIGINT NOT NULL, run BIGINT NOT NULL, PRIMARY KEY (chain, run)) ${options}`,
        `CREATE TABLE IF NOT EXISTS ${t.child} (parent_key VARBINARY(64) NOT NULL, run BIGINT NOT NULL, PRIMARY KEY (parent_key, run)) ${options}`,
        `CREATE TABLE IF NOT EXISTS ${t.entry} (chain BIGINT NOT NULL, ${id("name")}, version INT NOT NULL, ${payload("payload")},
  PRIMARY KEY (chain, name_key)) ${options}`,
        `CREATE TABLE IF NOT EXISTS ${t.chunk} (chain BIGINT NOT NULL, ${id("stream")}, place INT NOT NULL, ${id("writer")}, number INT NOT NULL,
  restart_at INT NULL, ${payload("payload")}, PRIMARY KEY (chain, stream_key, place), KEY by_writer (chain, stream_key, writer_key, number)) ${options}`,
        `CREATE TABLE IF NOT EXISTS ${t.attribute} (chain BIGINT NOT NULL, ${id("name")}, ${id("value")}, PRIMARY KEY (chain, name_key),
  KEY by_value (name_key, value_key, chain)) ${options}`,
      ],
    },
  ];
}

export const newestVersion = 1;
