import { claimedColumns, newestOfChain, recordColumns } from "./sql.js";

/** So many items are read with the claim of a run. Messages may wait by the thousand, and a driver that is warm knows most of them. */
const claimedMailMax = 4;

/** Runs, and what comes and goes with them: the pieces that the functions of a batch share. */
export const runFunctions = (s: string): string => `
CREATE FUNCTION ${s}.run_record_1(wanted bigint) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT json_build_array(${recordColumns(s)})::text FROM ${s}.run r JOIN ${s}.run_fact f ON f.key = r.key WHERE r.key = wanted
$$;

CREATE FUNCTION ${s}.claimed_run_1(wanted bigint) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT json_build_array(${claimedColumns})::text FROM ${s}.run r JOIN ${s}.run_fact f ON f.key = r.key WHERE r.key = wanted
$$;

-- What lies unread in the inbox of a run that was just claimed, as JSON; null if that is much. Looked at when the claim holds the run, and not as things stood
-- when its statement began: until then somebody else may have driven it.
CREATE FUNCTION ${s}.claimed_mail_1(of_chain bigint) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  mail json;
BEGIN
  SELECT CASE WHEN count(*) < ${claimedMailMax + 1} THEN coalesce(json_agg(i.item), '[]') END INTO mail FROM (
    SELECT json_build_array(q.position, q.kind, q.name, q.command, q.attempt, q.payload, encode(q.payload_bytes, 'base64'), q.options) AS item
    FROM ${s}.inbox q WHERE q.chain = of_chain ORDER BY q.position LIMIT ${claimedMailMax + 1}
  ) AS i;
  RETURN mail;
END $$;

-- The run that a target means. Each call from a function that writes sees what was committed until then.
CREATE FUNCTION ${s}.find_run_1(of_workflow text, of_run text, of_chain text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE found_key bigint;
BEGIN
  IF of_workflow IS NOT NULL THEN
    SELECT f.key INTO found_key FROM ${s}.run_fact f WHERE f.workflow_id = of_workflow ORDER BY f.generation DESC LIMIT 1;
  ELSIF of_run IS NOT NULL THEN
    SELECT f.key INTO found_key FROM ${s}.run_fact f WHERE f.run_id = of_run;
  ELSE
    SELECT ${newestOfChain(s, "coalesce(f.chain, f.key)")} INTO found_key FROM ${s}.run_fact f WHERE f.run_id = of_chain;
  END IF;
  RETURN found_key;
END $$;

-- Queues tasks, each in the place of an older attempt of its command.
CREATE FUNCTION ${s}.queue_tasks_1(of_run bigint, tasks json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  ${queueTasks(s, "of_run", `json_to_recordset(tasks) AS ${taskColumns}`)};
END $$;

-- What lies in the inbox of a run from its beginning.
CREATE FUNCTION ${s}.put_items_1(of_chain bigint, items json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO ${s}.inbox (chain, position, kind, name, command, attempt, payload, payload_bytes, options)
  SELECT of_chain, j.po, j.kd, j.nm, j.co, j.at, j.p, decode(j.b, 'base64'), j.os
  FROM json_to_recordset(items) AS j(po integer, kd smallint, nm text, co integer, at integer, p text, b text, os text);
END $$;
${roomFunction(s)}${continueFunction(s)}${terminateFunction(s)}`;

/** z: what few tasks have. */
export const taskColumns = "j(c integer, n text, r text, a integer, d float8, o text, p text, b text, z json)";

/** @param from where tasks come from as rows of `taskColumns` */
export const queueTasks = (s: string, run: string, from: string): string => `INSERT INTO ${s}.task
    (run, command, name, route, long_route, attempt, due_at, expires_at, heartbeat_ms, options, input, input_bytes, details, details_bytes)
  SELECT ${run}, j.c, j.n, j.r, j.z ->> 'lr', j.a, j.d, (j.z ->> 'x')::float8, (j.z ->> 'h')::float8, j.o, j.p, decode(j.b, 'base64'), j.z ->> 'p',
    decode(j.z ->> 'b', 'base64')
  FROM ${from}
  ON CONFLICT (run, command) DO UPDATE SET key = excluded.key, name = excluded.name, route = excluded.route, long_route = excluded.long_route,
    attempt = excluded.attempt, due_at = excluded.due_at, expires_at = excluded.expires_at, heartbeat_ms = excluded.heartbeat_ms,
    options = excluded.options, input = excluded.input, input_bytes = excluded.input_bytes, details = excluded.details,
    details_bytes = excluded.details_bytes, owner = NULL, epoch = 0, crash_count = 0, is_cancel_requested = false`;

/** Which runs of its id are in the way of a start that says what to do with them. */
const roomFunction = (s: string): string => `
-- The generation that a run of this id may have now; 0: one is in the way; null: one is to be ended that is not among those that are held.
CREATE FUNCTION ${s}.room_1(of_workflow text, of_run text, reuse integer, termination json, held bigint[], moment float8, written bigint[], lines json)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  newest record;
BEGIN
  LOOP
    IF ${s}.find_run_1(NULL, of_run, NULL) IS NOT NULL THEN
      RETURN 0;
    END IF;
    SELECT f.key, f.generation, r.status INTO newest
    FROM ${s}.run_fact f CROSS JOIN LATERAL (SELECT q.status FROM ${s}.run q WHERE q.key = f.key OFFSET 0) AS r
    WHERE f.workflow_id = of_workflow ORDER BY f.generation DESC LIMIT 1;
    IF NOT FOUND THEN
      RETURN 1;
    ELSIF newest.status > 1 THEN
      RETURN CASE WHEN reuse = 2 OR (reuse = 1 AND newest.status BETWEEN 3 AND 5) THEN newest.generation + 1 ELSE 0 END;
    ELSIF termination IS NULL THEN
      RETURN 0;
    ELSIF newest.key <> ALL (held) THEN
      RETURN NULL;
    END IF;
    -- What somebody else has made of it meanwhile is looked at again.
    PERFORM 1 FROM ${s}.run q WHERE q.key = newest.key AND q.status < 2 FOR NO KEY UPDATE;
    IF FOUND THEN
      PERFORM ${s}.terminate_run_1(newest.key, termination, moment, written, lines);
      RETURN newest.generation + 1;
    END IF;
  END LOOP;
END $$;
`;

const continueFunction = (s: string): string => `
-- Makes the next run of a chain, whose last one has ended just now. holder: who drives it if it begins at once.
CREATE FUNCTION ${s}.continue_chain_1(ended bigint, of_chain bigint, items integer, holder integer, moment float8, follower json)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  j record;
  made bigint;
BEGIN
  DELETE FROM ${s}.inbox q WHERE q.chain = of_chain AND q.command IS NOT NULL;
  SELECT * INTO j FROM json_to_record(follower) AS j(wf text, ri text, nm text, rt text, ve text, ev integer, ih text, dl float8, pa text, os text, lf text,
    d float8, p text, b text);
  INSERT INTO ${s}.run_fact (workflow_id, generation, run_id, name, version, engine_version, input_hash, created_at, deadline_at, chain, parent_run_id,
    options, long_forms)
  SELECT j.wf, f.generation + 1, j.ri, j.nm, j.ve, j.ev, j.ih, moment, j.dl, of_chain, j.pa, j.os, j.lf FROM ${s}.run_fact f WHERE f.key = ended
  RETURNING key INTO made;
  INSERT INTO ${s}.run (key, chain, route, status, owner, epoch, last_seq, inbox_count, inbox_seen, due_at)
  VALUES (made, of_chain, j.rt, 0, CASE WHEN j.d IS NULL THEN holder END, CASE WHEN j.d IS NULL THEN 1 ELSE 0 END, 0, items + 1, 0, j.d);
  INSERT INTO ${s}.inbox (chain, position, kind, name, payload, payload_bytes) VALUES (of_chain, items + 1, 0, '', j.p, decode(j.b, 'base64'));
  RETURN made;
END $$;
`;

const terminateFunction = (s: string): string => `
-- Ends an open run, which is locked, whoever drives it: without owner, and with another last line, its driver is fenced.
-- written, lines: what the batch has yet to write into histories.
CREATE FUNCTION ${s}.terminate_run_1(wanted bigint, termination json, moment float8, written bigint[], lines json) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  UPDATE ${s}.run q SET status = 5, owner = NULL, due_at = NULL, park_reason = NULL, last_seq = q.last_seq + 1, ended_at = moment
  WHERE q.key = wanted RETURNING q.chain, q.last_seq, q.inbox_count INTO r;
  INSERT INTO ${s}.history (run, seq, at, event, payload, payload_bytes)
  SELECT wanted, r.last_seq, greatest(
      moment,
      (SELECT h.at FROM ${s}.history h WHERE h.run = wanted ORDER BY h.seq DESC LIMIT 1),
      (SELECT max(l.a) FROM json_to_recordset(lines) AS l(x integer, a float8) WHERE written[l.x + 1] = wanted)
    ), j.e, j.p, decode(j.b, 'base64')
  FROM json_to_record(termination) AS j(e text, p text, b text);
  DELETE FROM ${s}.task q WHERE q.run = wanted;
  IF termination -> 't' IS NOT NULL THEN
    PERFORM ${s}.queue_tasks_1(wanted, termination -> 't');
  END IF;
  IF r.inbox_count > 0 THEN
    DELETE FROM ${s}.dedupe q WHERE q.chain = r.chain;
  END IF;
END $$;
`;
