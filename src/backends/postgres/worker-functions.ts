import { nowMs } from "./sql.js";

/** What is freed when a worker goes. */
export const workerFunctions = (s: string): string => `
-- Takes everything from a worker, fencing it, and makes it due at once. A crash is put down to the suspects among its runs, or else to all it held.
-- After a crash, a run that somebody has locked is left for the next time, when it is found by its owner, who is no more; suspects stay until then to be blamed.
CREATE FUNCTION ${s}.free_all_1(of_worker integer, has_crashed boolean, OUT runs integer, OUT tasks integer) LANGUAGE plpgsql AS $$
DECLARE
  moment float8 := ${nowMs};
  has_suspects boolean;
  held bigint[];
BEGIN
  -- In the order of their keys, as everybody locks runs.
  IF has_crashed THEN
    held := ARRAY(SELECT q.key FROM ${s}.run q WHERE q.owner = of_worker ORDER BY q.key FOR NO KEY UPDATE SKIP LOCKED);
  ELSE
    held := ARRAY(SELECT q.key FROM ${s}.run q WHERE q.owner = of_worker ORDER BY q.key FOR NO KEY UPDATE);
  END IF;
  has_suspects := EXISTS (SELECT FROM ${s}.run q WHERE q.owner = of_worker AND q.is_suspect);
  IF has_suspects AND EXISTS (SELECT FROM ${s}.run q WHERE q.owner = of_worker AND NOT q.is_suspect AND q.key <> ALL (held)) THEN
    held := ARRAY(SELECT q.key FROM ${s}.run q WHERE q.owner = of_worker AND NOT q.is_suspect AND q.key = ANY (held));
  END IF;
  UPDATE ${s}.run q SET owner = NULL, epoch = q.epoch + 1, due_at = moment,
    crash_count = q.crash_count + CASE WHEN has_crashed AND (q.is_suspect OR NOT has_suspects) THEN 1 ELSE 0 END
  WHERE q.owner = of_worker AND q.key = ANY (held);
  GET DIAGNOSTICS runs = ROW_COUNT;
  -- A task waits for its next worker as long as it takes.
  UPDATE ${s}.task q SET owner = NULL, epoch = q.epoch + 1, due_at = moment, expires_at = NULL,
    crash_count = q.crash_count + CASE WHEN has_crashed AND NOT has_suspects THEN 1 ELSE 0 END
  WHERE q.owner = of_worker;
  GET DIAGNOSTICS tasks = ROW_COUNT;
END $$;

-- All that own something, each found by one look at an index.
CREATE FUNCTION ${s}.owners_1() RETURNS SETOF integer LANGUAGE sql STABLE AS $$
  WITH RECURSIVE of_runs AS (
    (SELECT q.owner FROM ${s}.run q WHERE q.owner IS NOT NULL ORDER BY q.owner LIMIT 1)
    UNION ALL
    SELECT (SELECT q.owner FROM ${s}.run q WHERE q.owner > o.owner ORDER BY q.owner LIMIT 1) FROM of_runs o WHERE o.owner IS NOT NULL
  ), of_tasks AS (
    (SELECT q.owner FROM ${s}.task q WHERE q.owner IS NOT NULL ORDER BY q.owner LIMIT 1)
    UNION ALL
    SELECT (SELECT q.owner FROM ${s}.task q WHERE q.owner > o.owner ORDER BY q.owner LIMIT 1) FROM of_tasks o WHERE o.owner IS NOT NULL
  )
  SELECT o.owner FROM of_runs o WHERE o.owner IS NOT NULL UNION SELECT o.owner FROM of_tasks o WHERE o.owner IS NOT NULL
$$;

-- Declares workers dead whose leases are over, and those that are given as seen without their lock; frees what no living worker owns.
CREATE FUNCTION ${s}.recover_1(self integer, without_lock integer[], OUT workers integer, OUT runs integer, OUT tasks integer) LANGUAGE plpgsql AS $$
DECLARE
  moment float8 := ${nowMs};
  holder integer;
  freed record;
BEGIN
  DELETE FROM ${s}.worker q WHERE q.key IS DISTINCT FROM self AND (q.lease_until <= moment OR q.key = ANY (without_lock));
  GET DIAGNOSTICS workers = ROW_COUNT;
  runs := 0;
  tasks := 0;
  -- By owner, not by death: a worker that was declared dead before it took something must not keep it.
  FOR holder IN SELECT o.owner FROM ${s}.owners_1() AS o(owner) WHERE o.owner IS DISTINCT FROM self
    AND NOT EXISTS (SELECT FROM ${s}.worker q WHERE q.key = o.owner) ORDER BY o.owner
  LOOP
    SELECT * INTO freed FROM ${s}.free_all_1(holder, true);
    runs := runs + freed.runs;
    tasks := tasks + freed.tasks;
  END LOOP;
END $$;
`;
