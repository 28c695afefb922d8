import type { Statement } from "./link.js";
import { listenerKey } from "./liveness.js";
import { attributeKey, claimedColumns, newestOfChain, nowMs, recordColumns, serverIdentity, startedAt } from "./sql.js";

type StatementName =
  | keyof ReturnType<typeof writes>
  | keyof ReturnType<typeof claims>
  | keyof ReturnType<typeof reads>
  | keyof ReturnType<typeof shelves>;
export type Statements = Readonly<Record<StatementName, Statement>>;

/** The statements of a store, apart from `apply_1`'s own. Each table access is by an index, whatever the planner may think of the tables: see `session.ts`. */
export function statementsOf(schema: string): Statements {
  const s = `"${schema}"`;
  const texts = { ...writes(s), ...claims(s), ...reads(s), ...shelves(s) };
  const named = Object.entries(texts).map(([name, text]): [string, Statement] => [name, { name: `perdure_${schema}_${name}`, text }]);
  return Object.fromEntries(named) as Statements;
}

const writes = (s: string) => ({
  apply: `SELECT * FROM ${s}.apply_1($1::json, $2::json, $3::integer, $4::text[])`,
  applySimple: `SELECT * FROM ${s}.apply_simple_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,

  register: `WITH fresh AS MATERIALIZED (SELECT nextval('${s}.worker_key_seq')::integer AS key)
    INSERT INTO ${s}.worker (key, worker_id, lease_until, locked_on, process)
    SELECT fresh.key, $1, ${nowMs} + $2::float8, CASE WHEN $3::boolean AND pg_try_advisory_lock_shared($4::integer, fresh.key) THEN ${startedAt} END, $5::text
    FROM fresh RETURNING key`,
  // One row for the worker itself, and those of a look. Without a lease to prolong ($2), the row is only looked at.
  pulse: `WITH moment AS MATERIALIZED (SELECT ${nowMs} AS now), renewed AS (
      UPDATE ${s}.worker SET lease_until = ${nowMs} + $2::float8, locked_on = CASE WHEN $3::boolean THEN ${startedAt} END
      WHERE key = $1::integer AND lease_until > ${nowMs} AND $2::float8 IS NOT NULL RETURNING key
    )
    SELECT m.now, CASE WHEN $2::float8 IS NULL THEN EXISTS (SELECT FROM ${s}.worker w WHERE w.key = $1::integer AND w.lease_until > m.now)
        ELSE EXISTS (SELECT FROM renewed) END,
      (SELECT min(d.due_at) FROM unnest($4::text[]) AS n(route) CROSS JOIN LATERAL (
        (SELECT q.due_at FROM ${s}.run q WHERE q.route = n.route AND q.owner IS NULL AND q.crash_count < 2 AND q.due_at IS NOT NULL ORDER BY q.due_at LIMIT 1)
        UNION ALL
        (SELECT q.due_at FROM ${s}.run q WHERE q.route = n.route AND q.owner IS NULL AND q.crash_count >= 2 AND q.due_at IS NOT NULL ORDER BY q.due_at LIMIT 1)
      ) AS d),
      (SELECT min(d.due_at) FROM unnest($5::text[]) AS n(route) CROSS JOIN LATERAL (
        SELECT q.due_at FROM ${s}.task q WHERE q.route = n.route AND q.owner IS NULL AND q.due_at IS NOT NULL ORDER BY q.due_at LIMIT 1
      ) AS d),
      EXISTS (SELECT FROM (SELECT q.expires_at FROM ${s}.task q WHERE q.expires_at IS NOT NULL ORDER BY q.expires_at LIMIT 1) AS e WHERE e.expires_at <= m.now),
      (SELECT count(*)::integer FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid::bigint = $6::bigint
        AND l.objid::bigint = ${listenerKey} AND l.pid <> pg_backend_pid() AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())),
      seen.key, seen.is_expired, seen.is_unlocked, seen.process
    FROM moment m LEFT JOIN (${lookOf(s, "$6")}) AS seen(key, is_expired, is_unlocked, process) ON true`,
  retire: `WITH gone AS (DELETE FROM ${s}.worker WHERE key = $1::integer) SELECT runs, tasks FROM ${s}.free_all_1($1::integer, false)`,
  look: lookOf(s, "$1"),
  expireTasks: `SELECT ${s}.expire_tasks_1($1::integer)`,
  recover: `SELECT workers, runs, tasks FROM ${s}.recover_1($1::integer, $2::integer[])`,

  release: `WITH locked AS MATERIALIZED (
      SELECT q.key FROM ${s}.run q WHERE q.key = ANY ($2::bigint[]) AND q.owner = $1::integer ORDER BY q.key FOR NO KEY UPDATE
    ), runs AS (
      UPDATE ${s}.run q SET owner = NULL, epoch = q.epoch + 1, due_at = ${nowMs} WHERE q.key = ANY (ARRAY (SELECT l.key FROM locked l)) AND q.owner = $1::integer
    )
    UPDATE ${s}.task q SET owner = NULL, epoch = q.epoch + 1, due_at = ${nowMs}, expires_at = NULL WHERE q.key = ANY ($3::bigint[]) AND q.owner = $1::integer`,
  retryParked: `WITH waiting AS MATERIALIZED (
      SELECT q.key FROM unnest($1::text[]) AS n(route) CROSS JOIN LATERAL (
        SELECT r.key FROM ${s}.run r WHERE r.route = n.route AND r.status = 1 AND r.owner IS NULL AND (r.due_at IS NULL OR r.due_at > ${nowMs})
          AND r.park_reason::json ->> 'code' <> 'poisoned' FOR NO KEY UPDATE SKIP LOCKED
      ) AS q
    )
    UPDATE ${s}.run r SET due_at = ${nowMs} WHERE r.key = ANY (ARRAY (SELECT q.key FROM waiting q))`,
  reclaim: `WITH claimed AS (
      UPDATE ${s}.run r SET epoch = r.epoch + 1, is_suspect = r.crash_count >= 2 WHERE r.key = $1::bigint AND r.owner = $2::integer AND r.epoch = $3::integer
      RETURNING r.*
    )
    SELECT ${claimedColumns} FROM claimed r CROSS JOIN LATERAL (SELECT * FROM ${s}.run_fact q WHERE q.key = r.key OFFSET 0) AS f`,
});

/** Of each worker, whether its lease and its lock (of this class) are over, and its process; with nulls, of each owner. */
const lookOf = (s: string, lockClass: string): string => `WITH locks AS MATERIALIZED (
      SELECT l.objid::bigint AS key FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid::bigint = ${lockClass}::bigint
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    )
    SELECT w.key, w.lease_until <= ${nowMs}, w.locked_on = ${startedAt} AND w.key NOT IN (SELECT l.key FROM locks l), w.process FROM ${s}.worker w
    UNION ALL SELECT o.key, NULL, NULL, NULL FROM ${s}.owners_1() AS o(key)`;

const claims = (s: string) => ({
  claimRuns: `WITH moment AS MATERIALIZED (SELECT ${nowMs} AS now, EXISTS (SELECT FROM ${s}.worker w WHERE w.key = $1::integer AND w.lease_until > ${nowMs}) AS alive),
    due AS MATERIALIZED (${dueRuns(s, "<", "$3::integer")}),
    suspects AS MATERIALIZED (${dueRuns(s, ">=", "$4::integer")}),
    claimed AS (
      UPDATE ${s}.run q SET owner = $1::integer, epoch = q.epoch + 1, due_at = NULL, is_suspect = q.crash_count >= 2
      WHERE q.key = ANY (ARRAY (SELECT d.key FROM due d UNION ALL SELECT d.key FROM suspects d)) RETURNING q.*
    )
    SELECT next.due_at, taken.* FROM (
      SELECT min(d.due_at) AS due_at FROM moment m CROSS JOIN unnest($2::text[]) AS n(route) CROSS JOIN LATERAL (
        (SELECT q.due_at FROM ${s}.run q WHERE q.route = n.route AND q.owner IS NULL AND q.crash_count < 2 AND q.due_at > m.now ORDER BY q.due_at LIMIT 1)
        UNION ALL
        (SELECT q.due_at FROM ${s}.run q WHERE q.route = n.route AND q.owner IS NULL AND q.crash_count >= 2 AND q.due_at > m.now ORDER BY q.due_at LIMIT 1)
      ) AS d
    ) AS next LEFT JOIN (
      SELECT ${claimedColumns}, ${s}.claimed_mail_1(r.chain) FROM claimed r CROSS JOIN LATERAL (SELECT * FROM ${s}.run_fact q WHERE q.key = r.key OFFSET 0) AS f
    ) AS taken ON true`,

  claimTasks: `WITH moment AS MATERIALIZED (SELECT ${nowMs} AS now, EXISTS (SELECT FROM ${s}.worker w WHERE w.key = $1::integer AND w.lease_until > ${nowMs}) AS alive),
    due AS MATERIALIZED (
      SELECT d.key FROM moment m CROSS JOIN unnest($2::text[]) AS n(route) CROSS JOIN LATERAL (
        SELECT q.key, q.due_at FROM ${s}.task q WHERE q.route = n.route AND q.owner IS NULL AND q.due_at <= m.now ORDER BY q.due_at LIMIT $3::integer
        FOR NO KEY UPDATE SKIP LOCKED
      ) AS d WHERE m.alive ORDER BY d.due_at LIMIT $3::integer
    ),
    claimed AS (
      UPDATE ${s}.task q SET owner = $1::integer, epoch = q.epoch + 1, expires_at = (SELECT m.now FROM moment m) + q.heartbeat_ms
      WHERE q.key = ANY (ARRAY (SELECT d.key FROM due d)) RETURNING q.*
    )
    SELECT next.due_at, taken.* FROM (
      SELECT min(d.due_at) AS due_at FROM moment m CROSS JOIN unnest($2::text[]) AS n(route) CROSS JOIN LATERAL (
        SELECT q.due_at FROM ${s}.task q WHERE q.route = n.route AND q.owner IS NULL AND q.due_at > m.now ORDER BY q.due_at LIMIT 1
      ) AS d
    ) AS next LEFT JOIN (
      SELECT t.key, t.run, f.workflow_id, f.run_id, f.long_forms, t.command, t.name, t.route, t.long_route, t.attempt, t.input, t.input_bytes, t.options,
        t.due_at, t.epoch, t.crash_count, t.heartbeat_ms, t.details, t.details_bytes, t.is_cancel_requested
      FROM claimed t CROSS JOIN LATERAL (SELECT * FROM ${s}.run_fact q WHERE q.key = t.run OFFSET 0) AS f
    ) AS taken ON true`,

  owned: `SELECT true, q.key, q.inbox_count, q.inbox_seen, false FROM ${s}.run q WHERE q.owner = $1::integer
    UNION ALL SELECT false, q.key, 0, 0, q.is_cancel_requested FROM ${s}.task q WHERE q.owner = $1::integer`,
});

const dueRuns = (s: string, crashes: "<" | ">=", limit: string): string =>
  `SELECT d.key FROM moment m CROSS JOIN unnest($2::text[]) AS n(route) CROSS JOIN LATERAL (
      SELECT q.key, q.due_at FROM ${s}.run q WHERE q.route = n.route AND q.owner IS NULL AND q.crash_count ${crashes} 2 AND q.due_at <= m.now
      ORDER BY q.due_at LIMIT ${limit} FOR NO KEY UPDATE SKIP LOCKED
    ) AS d WHERE m.alive ORDER BY d.due_at LIMIT ${limit}`;

const reads = (s: string) => ({
  time: `SELECT ${nowMs}`,
  identity: `SELECT ${serverIdentity}`,
  // Nobody has to wait until it is on the disk: neither those whom it wakes nor what comes behind it.
  notify: `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`,
  history: `SELECT h.seq, h.at, h.event, h.payload, h.payload_bytes FROM ${s}.history h WHERE h.run = $1::bigint AND h.seq >= $2::integer
    ORDER BY h.seq LIMIT $3::bigint`,
  inboxes: `SELECT t.x, i.position, i.kind, i.name, i.command, i.attempt, i.payload, i.payload_bytes, i.options
    FROM unnest($1::bigint[], $2::integer[]) WITH ORDINALITY AS t(key, above, x)
    CROSS JOIN LATERAL (SELECT q.chain FROM ${s}.run q WHERE q.key = t.key AND q.status <> 6 OFFSET 0) AS r
    CROSS JOIN LATERAL (SELECT * FROM ${s}.inbox q WHERE q.chain = r.chain AND q.position > t.above ORDER BY q.position OFFSET 0) AS i
    ORDER BY t.x, i.position`,
  find: `SELECT t.x, h.seq, h.at, h.event, h.payload, h.payload_bytes, ${recordColumns(s)}
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS t(workflow_id, run_id, chain_of, x)
    CROSS JOIN LATERAL (
      (SELECT q.* FROM ${s}.run_fact q WHERE q.workflow_id = t.workflow_id ORDER BY q.generation DESC LIMIT 1)
      UNION ALL
      (SELECT q.* FROM ${s}.run_fact q WHERE q.run_id = t.run_id)
      UNION ALL
      (SELECT q.* FROM ${s}.run_fact q WHERE t.chain_of IS NOT NULL AND q.key = ${s}.find_run_1(NULL, NULL, t.chain_of))
    ) AS f
    CROSS JOIN LATERAL (SELECT * FROM ${s}.run q WHERE q.key = f.key OFFSET 0) AS r
    LEFT JOIN LATERAL (SELECT * FROM ${s}.history q WHERE q.run = r.key AND q.seq = r.last_seq AND r.status > 1 OFFSET 0) AS h ON true`,
  newestKey: `SELECT coalesce(max(f.key), 0) FROM ${s}.run_fact f`,
  ...lists(s),
});

/** Ways to find the runs of a listing: among all, among those of a parent, among those of some chains. The newest first, below a key. */
const lists = (s: string) => ({
  list: listOf(s, `SELECT q.* FROM ${s}.run_fact q WHERE q.key < $1::bigint AND q.key >= $8::bigint ORDER BY q.key DESC OFFSET 0`),
  listChildren: listOf(
    s,
    `SELECT q.* FROM ${s}.run_fact q WHERE q.parent_run_id = $8::text AND q.key < $1::bigint ORDER BY q.parent_run_id DESC, q.key DESC OFFSET 0`,
  ),
  listChains: listOf(
    s,
    `SELECT q.* FROM unnest($8::bigint[]) AS c(chain) CROSS JOIN LATERAL (
        (SELECT a.* FROM ${s}.run_fact a WHERE a.key = c.chain OFFSET 0)
        UNION ALL
        (SELECT a.* FROM ${s}.run_fact a WHERE a.chain = c.chain OFFSET 0)
      ) AS q WHERE q.key < $1::bigint ORDER BY q.key DESC OFFSET 0`,
  ),
  chainsWith: `SELECT a.chain FROM (
      SELECT q.chain, q.name, q.value FROM ${s}.attribute q WHERE ${attributeKey} = $1::text || '=' || $2::text OFFSET 0
    ) AS a WHERE a.name = $1::text AND a.value = $2::text LIMIT $3::bigint`,
});

const listOf = (s: string, candidates: string): string =>
  `SELECT ${recordColumns(s)} FROM (${candidates}) AS f CROSS JOIN LATERAL (SELECT * FROM ${s}.run q WHERE q.key = f.key OFFSET 0) AS r
    WHERE ($2::text IS NULL OR f.name = $2::text) AND ($3::smallint IS NULL OR r.status = $3::smallint)
      AND ($4::text = '' OR starts_with(coalesce(f.long_forms::json ->> 'workflowId', f.workflow_id), $4::text))
      AND ($5::text[] = '{}' OR NOT EXISTS (
        SELECT FROM unnest($5::text[], $6::text[]) AS w(name, value) WHERE NOT EXISTS (
          SELECT FROM ${s}.attribute q WHERE q.chain = r.chain AND q.name = w.name AND q.value = w.value
        )
      ))
    ORDER BY f.key DESC LIMIT $7::bigint`;

const shelves = (s: string) => ({
  // Of a run that is not there, no row; of one that is, at least one.
  entries: `SELECT t.x, e.version, e.payload, e.payload_bytes
    FROM (SELECT q.chain FROM ${s}.run q WHERE q.key = ${s}.find_run_1($1::text, $2::text, $3::text) OFFSET 0) AS r
    LEFT JOIN unnest($4::text[]) WITH ORDINALITY AS t(name, x) ON true
    LEFT JOIN LATERAL (SELECT * FROM ${s}.entry q WHERE q.chain = r.chain AND q.name = t.name OFFSET 0) AS e ON true`,
  // In one look, so that a stream that is said to be closed is whole.
  chunks: `SELECT n.status < 2, c.chunk_offset, c.writer, c.long_writer, c.restart_at, c.payload, c.payload_bytes
    FROM (SELECT q.chain FROM ${s}.run q WHERE q.key = ${s}.find_run_1($1::text, $2::text, $3::text) OFFSET 0) AS r
    CROSS JOIN LATERAL (SELECT q.status FROM ${s}.run q WHERE q.key = ${newestOfChain(s, "r.chain")} OFFSET 0) AS n
    LEFT JOIN LATERAL (
      SELECT * FROM ${s}.chunk q WHERE q.chain = r.chain AND q.stream = $4::text AND q.chunk_offset >= $5::integer ORDER BY q.chunk_offset LIMIT $6::bigint
    ) AS c ON true ORDER BY c.chunk_offset`,
  streamTail: `SELECT greatest(max(c.number), b.number), count(c.number), min(c.chunk_offset)
    FROM (SELECT q.chain FROM ${s}.run q WHERE q.key = $1::bigint OFFSET 0) AS r
    CROSS JOIN LATERAL (
      SELECT coalesce((SELECT q.number FROM ${s}.chunk q WHERE q.chain = r.chain AND q.stream = $2::text AND q.writer = $3::text AND q.number > 0
        AND q.restart_at IS NOT NULL ORDER BY q.number DESC LIMIT 1), 0) AS number
    ) AS b
    LEFT JOIN LATERAL (
      (SELECT q.number, q.chunk_offset FROM ${s}.chunk q WHERE q.chain = r.chain AND q.stream = $2::text AND q.writer = $3::text AND q.number > b.number
        AND q.number > 0 ORDER BY q.number OFFSET 0)
      UNION ALL
      (SELECT q.number, q.chunk_offset FROM ${s}.chunk q WHERE $3::text = '' AND q.chain = r.chain AND q.stream = $2::text AND q.writer = '' AND q.number = 0)
    ) AS c ON true GROUP BY b.number`,
});
