/** Fragments that several statements share. */

/** The server's time in whole milliseconds. */
export const nowMs = "floor(extract(epoch from clock_timestamp()) * 1000)::float8";

/** The newest run of a chain. Runs that begin a chain are in no index of chains: most are all of theirs. */
export const newestOfChain = (schema: string, chain: string): string =>
  `coalesce((SELECT g.key FROM ${schema}.run_fact g WHERE g.chain = ${chain} ORDER BY g.generation DESC LIMIT 1), ${chain})`;

/** Columns of a run as clients see it; `recordOf` reads them. The inbox of a run that was continued has gone on without it. Tables: run_fact f, run r. */
export const recordColumns = (schema: string): string =>
  `r.key, f.workflow_id, f.run_id, f.name, r.route, f.long_forms, f.version, f.engine_version, f.input_hash, r.status, f.created_at, r.ended_at, f.deadline_at,
  r.due_at, (SELECT w.worker_id FROM ${schema}.worker w WHERE w.key = r.owner), r.epoch, r.last_seq, r.inbox_count,
  CASE WHEN r.status = 6 THEN 0 ELSE (SELECT count(*) FROM ${schema}.inbox i WHERE i.chain = r.chain) END, r.crash_count, r.park_reason,
  f.parent_run_id, f.options, (SELECT json_agg(json_build_array(a.name, a.value, a.long_forms)) FROM ${schema}.attribute a WHERE a.chain = r.chain)::text`;

/** Columns of a run as its driver is given it; `claimedRunOf` reads them. */
export const claimedColumns = `r.key, f.workflow_id, f.run_id, f.name, r.route, f.long_forms, f.version, f.engine_version, r.status, f.created_at, f.deadline_at,
  r.epoch, r.last_seq, r.inbox_count, r.crash_count, r.park_count, f.parent_run_id, f.options`;

/** When the server was started: a restart ends all sessions, and with them all locks, without any worker having died. */
export const startedAt = "extract(epoch from pg_postmaster_start_time())::float8";

/** Which database this is: no two have the same at one time, be they as alike as a copy. */
export const serverIdentity =
  "(SELECT d.oid::text || ' ' || extract(epoch from pg_postmaster_start_time())::text FROM pg_database d WHERE d.datname = current_database())";

/**
 * What attributes are searched by. An expression, so that the index of it serves nothing else: an index of columns, of which the chain were one, would look as
 * good as the key to a planner that knows of few rows, for reading the attributes of a chain.
 */
export const attributeKey = "(q.name || '=' || q.value)";
