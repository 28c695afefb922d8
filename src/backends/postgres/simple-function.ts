import { queueTasks, taskColumns } from "./run-functions.js";
import { nowMs } from "./sql.js";

/**
 * `apply_simple_1`: starts of different workflow ids and turns of different runs, sorted by the runs' keys. It never waits for a run: one that somebody
 * else has locked is passed over, and re-read to tell "locked" from "fenced".
 *
 * What every turn and line has comes in arrays, one for each column, in the binary format: that takes a third less of the server than the same as JSON. What
 * few turns have comes as JSON.
 *
 * Its statements are set-based, so their plans have to be kept from going wrong: a prepared plan lasts as long as its connection, and one that was made while
 * the tables were empty would read a whole index for every batch later. Tables are therefore reached by `= ANY (array)`, or in a LATERAL subquery that
 * `OFFSET 0` or its row lock keeps whole. The UPDATE of the rows that were found goes to their places (ctid): by their keys, the planner would join them to a
 * table of two rows by reading all of it. A row that was changed between the statement's snapshot and its update is not found at its place.
 *
 * Locking a row before it is updated costs nearly as much as the update, so it is done only for rows that somebody has locked or changed and not let go of
 * (their xmax says so), by a second statement: it also finds those that were changed meanwhile.
 */
export const simpleFunction = (s: string): string => `
CREATE FUNCTION ${s}.apply_simple_1(turn_count integer, turn_x integer[], turn_run bigint[], turn_epoch integer[], turn_from integer[], turn_to integer[],
  turn_seen integer[], turn_next integer[], turn_due float8[], turn_reason text[], rare json, start_count integer, starts json,
  line_x integer[], line_seq integer[], line_at float8[], line_event text[], line_payload text[], line_bytes bytea[])
RETURNS TABLE(x integer, code smallint, n integer, k bigint, w integer, made_at float8, extra text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  r record;
  written bigint[] := '{}';
  chains bigint[] := '{}';
  made bigint[];
  target bigint;
  late_x integer[] := '{}';
  late_k bigint[] := '{}';
  ended bigint[] := '{}';
  ended_with_mail bigint[] := '{}';
  done integer := 0;
  has_tasks boolean := false;
  moment float8 := ${nowMs};
BEGIN
  IF start_count > 0 THEN
${starts(s)}
  END IF;
  IF turn_count > 0 THEN
${turns(s)}
  END IF;
  FOR late IN 1 .. cardinality(late_x) LOOP
    x := late_x[late]; code := 5; n := NULL; k := late_k[late]; w := NULL; made_at := NULL; extra := ${s}.run_record_1(late_k[late]);
    RETURN NEXT;
  END LOOP;

  INSERT INTO ${s}.history (run, seq, at, event, payload, payload_bytes)
  SELECT written[l.x + 1], l.s, l.a, l.e, l.p, l.b
  FROM unnest(line_x, line_seq, line_at, line_event, line_payload, line_bytes) AS l(x, s, a, e, p, b)
  WHERE written[l.x + 1] IS NOT NULL;
END $$;
`;

const starts = (s: string): string => `
    FOR r IN SELECT j.x, nextval('${s}.run_fact_key_seq') AS key FROM json_to_recordset(starts) AS j(x integer) LOOP
      written[r.x + 1] := r.key;
    END LOOP;
    WITH fact AS (
      INSERT INTO ${s}.run_fact (key, workflow_id, generation, run_id, name, version, engine_version, input_hash, created_at, deadline_at, parent_run_id,
        options, long_forms)
      SELECT written[j.x + 1], j.wf, 1, j.ri, j.nm, j.ve, j.ev, j.ih, moment, j.dl, j.pa, j.os, j.lf
      FROM json_to_recordset(starts)
        AS j(x integer, wf text, ri text, nm text, ve text, ev integer, ih text, dl float8, pa text, os text, lf text)
      ON CONFLICT DO NOTHING RETURNING key
    )
    SELECT coalesce(array_agg(fact.key), '{}') INTO made FROM fact;
    FOR r IN SELECT * FROM json_to_recordset(starts) AS j(x integer, wf text, ri text, st smallint, ow integer, ic integer, m json, t json) LOOP
      target := written[r.x + 1];
      IF cardinality(made) < start_count AND target <> ALL (made) THEN
        written[r.x + 1] := NULL;
        -- A statement of its own: it sees what the insertion had to wait for.
        target := coalesce(${s}.find_run_1(NULL, r.ri, NULL), ${s}.find_run_1(r.wf, NULL, NULL));
        -- Starts go first, but a record shows what an earlier turn of the batch makes of the run.
        IF turn_count > 0 AND EXISTS (SELECT FROM unnest(turn_x, turn_run) AS j(x, k) WHERE j.k = target AND j.x < r.x) THEN
          late_x := late_x || r.x;
          late_k := late_k || target;
          CONTINUE;
        END IF;
        x := r.x; code := 5; n := NULL; k := target; w := NULL; made_at := NULL; extra := ${s}.run_record_1(target);
        RETURN NEXT;
        CONTINUE;
      END IF;
      IF r.m IS NOT NULL THEN
        PERFORM ${s}.put_items_1(target, r.m);
      END IF;
      IF r.t IS NOT NULL THEN
        PERFORM ${s}.queue_tasks_1(target, r.t);
      END IF;
      x := r.x; code := 4; n := r.ic; k := target; w := CASE WHEN r.st = 0 THEN r.ow END; made_at := moment; extra := NULL;
      RETURN NEXT;
    END LOOP;
    INSERT INTO ${s}.run (key, chain, route, status, owner, epoch, last_seq, inbox_count, inbox_seen, due_at, park_count, park_reason, ended_at)
    SELECT written[j.x + 1], written[j.x + 1], j.rt, CASE WHEN j.st < 2 THEN 0 ELSE j.st - 1 END, CASE WHEN j.st = 0 THEN j.ow END, j.e, j.n, j.ic, j.i,
      CASE WHEN j.e = 0 THEN coalesce(j.d, moment) ELSE j.d END, CASE WHEN j.st = 2 THEN 1 ELSE 0 END, j.pr, CASE WHEN j.st > 2 THEN moment END
    FROM json_to_recordset(starts) AS j(x integer, rt text, st smallint, ow integer, e integer, n integer, ic integer, i integer, d float8, pr text)
    WHERE written[j.x + 1] IS NOT NULL;`;

const asked =
  "SELECT * FROM unnest(turn_x, turn_run, turn_epoch, turn_from, turn_to, turn_seen, turn_next, turn_due, turn_reason) AS j(x, k, e, s, n, i, st, d, pr)";

/** A run that was given up keeps its epoch: only having an owner makes the epoch a right. */
const found = (s: string): string => `SELECT a.*, own.place FROM asked a CROSS JOIN LATERAL (
          SELECT q.ctid AS place FROM ${s}.run q WHERE q.key = a.k AND q.owner IS NOT NULL AND q.epoch = a.e AND q.last_seq = a.s
            AND (a.st < 3 OR q.inbox_count <= a.i)`;

const update = (s: string): string => `
      UPDATE ${s}.run q SET
        last_seq = a.n,
        inbox_seen = a.i,
        crash_count = CASE WHEN a.n > a.s THEN 0 ELSE q.crash_count END,
        park_count = CASE WHEN a.n > a.s THEN 0 ELSE q.park_count END + CASE WHEN a.st = 2 THEN 1 ELSE 0 END,
        status = CASE WHEN a.st < 2 THEN 0 ELSE a.st - 1 END,
        park_reason = a.pr,
        -- Something arrived that the driver has not seen: it goes on rather than give the run up and be told about it.
        owner = CASE WHEN a.st = 0 OR (a.st = 1 AND q.inbox_count > a.i) THEN q.owner END,
        due_at = CASE WHEN a.st = 1 AND q.inbox_count > a.i THEN NULL ELSE a.d END,
        ended_at = CASE WHEN a.st > 2 THEN moment END
      FROM found a WHERE q.ctid = a.place
      RETURNING a.x, a.k, a.i, a.st, q.chain, q.inbox_count, q.owner
    LOOP
      done := done + 1;
      written[r.x + 1] := r.k;
      IF rare IS NOT NULL THEN
        chains[r.x + 1] := r.chain;
      END IF;
      IF r.st > 2 THEN
        ended := ended || r.k;
        IF r.inbox_count > 0 THEN
          ended_with_mail := ended_with_mail || r.chain;
        END IF;
      END IF;
      IF r.inbox_count <> r.i THEN
        x := r.x; code := 0; n := r.inbox_count; k := NULL; w := r.owner; made_at := NULL; extra := NULL;
        RETURN NEXT;
      END IF;
    END LOOP;`;

const turns = (s: string): string => `
    FOR r IN
      WITH asked AS MATERIALIZED (${asked}), found AS MATERIALIZED (
        ${found(s)} AND q.xmax = '0'::xid OFFSET 0
        ) AS own
      )${update(s)}
    IF done < turn_count THEN
      FOR r IN
        WITH asked AS MATERIALIZED (${asked} WHERE written[j.x + 1] IS NULL), found AS MATERIALIZED (
        ${found(s)} FOR NO KEY UPDATE SKIP LOCKED
        ) AS own
      )${update(s)}
    END IF;
    IF rare IS NOT NULL THEN
${rareEffects(s)}
    END IF;
    IF ended <> '{}' THEN
      DELETE FROM ${s}.task q WHERE q.run = ANY (ended);
    END IF;
    -- What was accepted and never taken stays; what only served to know duplicates goes.
    IF ended_with_mail <> '{}' THEN
      DELETE FROM ${s}.dedupe q WHERE q.chain = ANY (ended_with_mail);
    END IF;
    IF done < turn_count THEN
${missing(s)}
    END IF;`;

/** c: what was taken from the inbox, w: commands whose tasks are withdrawn, t: tasks that are queued. */
const rareEffects = (s: string): string => `
      FOR r IN SELECT * FROM json_to_recordset(rare) AS j(x integer, c integer[], w integer[], t json) WHERE written[j.x + 1] IS NOT NULL LOOP
        IF r.c IS NOT NULL THEN
          DELETE FROM ${s}.inbox q WHERE q.chain = chains[r.x + 1] AND q.position = ANY (r.c);
        END IF;
        IF r.w IS NOT NULL THEN
          DELETE FROM ${s}.task q WHERE q.run = written[r.x + 1] AND q.command = ANY (r.w);
        END IF;
        has_tasks := has_tasks OR r.t IS NOT NULL;
      END LOOP;
      IF has_tasks THEN
        -- No command is both queued and withdrawn.
        ${queueTasks(
          s,
          "written[own.x + 1]",
          `json_to_recordset(rare) AS own(x integer, t json) CROSS JOIN LATERAL json_to_recordset(own.t) AS ${taskColumns}
        WHERE written[own.x + 1] IS NOT NULL`,
        )};
      END IF;`;

/** Turns that were not committed: their runs are read again, by a statement of its own. */
const missing = (s: string): string => `
      FOR r IN ${asked} WHERE written[j.x + 1] IS NULL LOOP
        SELECT q.inbox_count INTO n FROM ${s}.run q WHERE q.key = r.k AND q.owner IS NOT NULL AND q.epoch = r.e AND q.last_seq = r.s;
        code := CASE WHEN NOT FOUND THEN 1 WHEN r.st > 2 AND n > r.i THEN 2 ELSE 3 END;
        x := r.x; k := NULL; w := NULL; made_at := NULL; extra := NULL;
        RETURN NEXT;
      END LOOP;`;
