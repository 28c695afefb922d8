/** Fragments that several statements share. */

/** The server's time in whole milliseconds. */
export const nowMs = "floor(extract(epoch from clock_timestamp()) * 1000)::float8";

/** Columns of a run as clients see it; `recordOf` reads them. Tables: run_fact f, run r. */
export const recordColumns = (schema: string): string =>
  `r.key, f.workflow_id, f.run_id, r.name, f.long_forms, f.version, f.engine_version, f.input_hash, r.status, f.created_at, r.ended_at, f.deadline_at,
  r.due_at, (SELECT w.worker_id FROM ${schema}.worker w WHERE w.key = r.owner), r.epoch, r.last_seq, r.inbox_count,
  (SELECT count(*) FROM ${schema}.inbox i WHERE i.chain = r.chain), r.crash_count, r.park_reason`;

/** Columns of a run as its driver is given it; `claimedRunOf` reads them. */
export const claimedColumns = `r.key, f.workflow_id, f.run_id, r.name, f.long_forms, f.version, f.engine_version, r.status, f.created_at, f.deadline_at,
  r.epoch, r.last_seq, r.inbox_count, r.crash_count, r.park_count`;
