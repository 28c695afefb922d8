import { nowMs } from "./sql.js";

/** What becomes of tasks that nobody has claimed, or told of, in time. */
export const taskFunctions = (s: string): string => `
-- Removes at most so many overdue tasks and tells their runs. What somebody has locked is passed over, so that two who do this at once share the work.
CREATE FUNCTION ${s}.expire_tasks_1(at_most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  moment float8 := ${nowMs};
  expired integer := 0;
  overdue bigint[];
  job record;
  r record;
  wanted bigint;
BEGIN
  -- Those that wait longest. Runs before tasks, as everybody locks them.
  overdue := ARRAY(
    SELECT o.key FROM (SELECT q.key, q.run FROM ${s}.task q WHERE q.expires_at <= moment ORDER BY q.expires_at LIMIT at_most) AS o
    CROSS JOIN LATERAL (SELECT 1 FROM ${s}.run q WHERE q.key = o.run FOR NO KEY UPDATE SKIP LOCKED) AS own
    CROSS JOIN LATERAL (SELECT 1 FROM ${s}.task q WHERE q.key = o.key FOR UPDATE SKIP LOCKED) AS itself ORDER BY o.key
  );
  FOREACH wanted IN ARRAY overdue LOOP
    DELETE FROM ${s}.task q WHERE q.key = wanted AND q.expires_at <= moment
    RETURNING q.run, q.command, q.attempt, q.details, q.details_bytes, CASE WHEN q.owner IS NULL AND q.due_at IS NOT NULL THEN 'queued' ELSE 'heartbeat' END AS missed
    INTO job;
    CONTINUE WHEN NOT FOUND;
    expired := expired + 1;
    UPDATE ${s}.run q SET
      inbox_count = q.inbox_count + 1,
      due_at = CASE WHEN q.owner IS NULL AND q.status = 0 AND (q.due_at IS NULL OR (q.due_at > moment AND q.last_seq > 0)) THEN moment ELSE q.due_at END
    WHERE q.key = job.run AND q.status < 2 RETURNING q.chain, q.inbox_count INTO r;
    -- A task that an ended run left behind has nobody to tell.
    CONTINUE WHEN NOT FOUND;
    INSERT INTO ${s}.inbox (chain, position, kind, name, command, attempt, payload, payload_bytes)
    VALUES (r.chain, r.inbox_count, 6, job.missed, job.command, job.attempt, job.details, job.details_bytes);
  END LOOP;
  RETURN expired;
END $$;
`;
