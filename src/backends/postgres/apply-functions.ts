import { fromOutside } from "./outside-function.js";
import { runFunctions } from "./run-functions.js";
import { shelfFunctions } from "./shelf-functions.js";
import { simpleFunction } from "./simple-function.js";
import { nowMs } from "./sql.js";
import { taskFunctions } from "./task-functions.js";
import { withinFunction } from "./within-function.js";

/**
 * A batch in one round trip, by one of two functions.
 *
 * `apply_1` takes any operations and goes through them in order, so that what a later one sees is what an earlier one did; each of its statements looks up
 * one row by a key, so that its plan cannot be a bad one.
 *
 * `apply_simple_1` (simple-function.ts) takes turns and starts of which none can see another and none has a rare effect, as most batches are, at a third of
 * the cost.
 */
export const applyFunctions = (s: string): string =>
  `${runFunctions(s)}${shelfFunctions(s)}${applyFunction(s)}${simpleFunction(s)}${withinFunction(s)}${taskFunctions(s)}`;

/** What few operations have lies in `ex`: each column costs something for each of them. */
const operationColumns = `x integer, o smallint, k bigint, e integer, s integer, n integer, i integer, st smallint, d float8, pr text, c integer[], t json,
    w integer[], wf text, ri text, nm text, rt text, lf text, ve text, ev integer, ih text, dl float8, pa text, ow integer, ic integer, m json,
    kd smallint, co integer, at integer, p text, b text, os text, ch text, dk text, cw integer, cn text[], ex json`;

const applyFunction = (s: string): string => `
CREATE FUNCTION ${s}.apply_1(operations json, lines json, lock_mode integer, claim_routes text[])
RETURNS TABLE(x integer, code smallint, n integer, k bigint, w integer, made_at float8, extra text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  op record;
  r record;
  job record;
  written bigint[] := '{}';
  held bigint[] := '{}';
  target bigint;
  generation integer;
  holder integer;
  moment float8 := ${nowMs};
  is_plain boolean;
  does_wake boolean;
  does_claim boolean;
BEGIN
${lockAhead(s)}
  FOR op IN SELECT * FROM json_to_recordset(operations) AS j(${operationColumns}) LOOP
    IF op.o = 0 THEN
${turn(s)}
    ELSIF op.o = 1 THEN
${start(s)}
    ELSE
${fromOutside(s)}
    END IF;
  END LOOP;

  INSERT INTO ${s}.history (run, seq, at, event, payload, payload_bytes)
  SELECT written[l.x + 1], l.s, l.a, l.e, l.p, decode(l.b, 'base64')
  FROM json_to_recordset(lines) AS l(x integer, s integer, a float8, e text, p text, b text)
  WHERE written[l.x + 1] IS NOT NULL;
END $$;
`;

const lockAhead = (s: string): string => {
  const lock = (skip: string): string => `
    held := ARRAY(
      SELECT locked.key FROM (
        SELECT DISTINCT wanted.key FROM (
          SELECT CASE
              WHEN j.o = 0 OR (j.o = 7 AND j.st = 0) THEN j.k
              WHEN j.k IS NOT NULL THEN (SELECT q.run FROM ${s}.task q WHERE q.key = j.k)
              WHEN j.wf IS NOT NULL THEN (SELECT f.key FROM ${s}.run_fact f WHERE f.workflow_id = j.wf ORDER BY f.generation DESC LIMIT 1)
              WHEN j.ri IS NOT NULL THEN (SELECT f.key FROM ${s}.run_fact f WHERE f.run_id = j.ri)
              ELSE ${s}.find_run_1(NULL, NULL, j.ch)
            END AS key
          FROM json_to_recordset(operations) AS j(o smallint, st smallint, k bigint, wf text, ri text, ch text, ex json)
          WHERE j.o NOT IN (1, 6) OR (j.o = 1 AND j.ex -> 'te' IS NOT NULL)
        ) AS wanted WHERE wanted.key IS NOT NULL ORDER BY wanted.key
      ) AS sorted CROSS JOIN LATERAL (SELECT q.key FROM ${s}.run q WHERE q.key = sorted.key FOR NO KEY UPDATE${skip}) AS locked
    );`;
  return `  IF lock_mode = 1 THEN${lock("")}
  ELSIF lock_mode = 2 THEN
    -- What else one may wait for: whether somebody's start of the same id is committed.
    PERFORM set_config('lock_timeout', '5ms', true);${lock(" SKIP LOCKED")}
  END IF;
`;
};

const turn = (s: string): string => `
      IF lock_mode = 2 AND op.k <> ALL (held) THEN
        PERFORM 1 FROM ${s}.run q WHERE q.key = op.k AND q.owner IS NOT NULL AND q.epoch = op.e AND q.last_seq = op.s;
        x := op.x; code := CASE WHEN FOUND THEN 3 ELSE 1 END; n := NULL; k := NULL; w := NULL; made_at := NULL; extra := NULL;
        RETURN NEXT;
        CONTINUE;
      END IF;
      IF op.st = 7 THEN
        SELECT q.owner INTO holder FROM ${s}.run q WHERE q.key = op.k;
      END IF;
      -- A run that was given up keeps its epoch: only having an owner makes the epoch a right.
      UPDATE ${s}.run q SET
        last_seq = op.n,
        inbox_seen = op.i,
        crash_count = CASE WHEN op.n > op.s THEN 0 ELSE q.crash_count END,
        park_count = CASE WHEN op.n > op.s THEN 0 ELSE q.park_count END + CASE WHEN op.st = 2 THEN 1 ELSE 0 END,
        status = CASE WHEN op.st < 2 THEN 0 ELSE op.st - 1 END,
        park_reason = op.pr,
        -- Something arrived that the driver has not seen: it goes on rather than give the run up and be told about it.
        owner = CASE WHEN op.st = 0 OR (op.st = 1 AND q.inbox_count > op.i) THEN q.owner END,
        due_at = CASE WHEN op.st = 1 AND q.inbox_count > op.i THEN NULL ELSE op.d END,
        ended_at = CASE WHEN op.st > 2 THEN moment END
      WHERE q.key = op.k AND q.owner IS NOT NULL AND q.epoch = op.e AND q.last_seq = op.s AND (op.st NOT BETWEEN 3 AND 6 OR q.inbox_count <= op.i)
      RETURNING q.chain, q.inbox_count, q.owner INTO r;
      IF NOT FOUND THEN
        SELECT q.inbox_count INTO r FROM ${s}.run q
        WHERE q.key = op.k AND q.owner IS NOT NULL AND q.epoch = op.e AND q.last_seq = op.s;
        x := op.x; n := CASE WHEN FOUND THEN r.inbox_count END; code := CASE WHEN FOUND THEN 2 ELSE 1 END; k := NULL; w := NULL; made_at := NULL; extra := NULL;
        RETURN NEXT;
        CONTINUE;
      END IF;
      written[op.x + 1] := op.k;
      IF op.c IS NOT NULL THEN
        DELETE FROM ${s}.inbox q WHERE q.chain = r.chain AND q.position = ANY (op.c);
      END IF;
      IF op.st > 2 THEN
        DELETE FROM ${s}.task q WHERE q.run = op.k;
      END IF;
      IF op.t IS NOT NULL THEN
        PERFORM ${s}.queue_tasks_1(op.k, op.t);
      END IF;
      IF op.w IS NOT NULL THEN
        DELETE FROM ${s}.task q WHERE q.run = op.k AND q.command = ANY (op.w);
      END IF;
      IF op.ex IS NOT NULL THEN
        PERFORM ${s}.leave_behind_1(op.k, r.chain, op.ex);
      END IF;
      IF op.st = 7 THEN
        target := ${s}.continue_chain_1(op.k, r.chain, r.inbox_count, holder, moment, op.ex -> 'nr');
        held := held || target;
        x := op.x; code := 0; n := r.inbox_count; k := NULL; w := NULL; made_at := NULL;
        extra := CASE WHEN op.ex -> 'nr' ->> 'd' IS NULL THEN ${s}.claimed_run_1(target) END;
        RETURN NEXT;
        CONTINUE;
      END IF;
      -- What was accepted and never taken stays; what only served to know duplicates goes.
      IF op.st > 2 AND r.inbox_count > 0 THEN
        DELETE FROM ${s}.dedupe q WHERE q.chain = r.chain;
      END IF;
      IF r.inbox_count <> op.i THEN
        x := op.x; code := 0; n := r.inbox_count; k := NULL; w := r.owner; made_at := NULL; extra := NULL;
        RETURN NEXT;
      END IF;`;

const start = (s: string): string => `
      is_plain := op.ex -> 'ru' IS NULL AND op.ex -> 'te' IS NULL;
      generation := 1;
      LOOP
        IF NOT is_plain THEN
          generation := ${s}.room_1(op.wf, op.ri, (op.ex ->> 'ru')::integer, op.ex -> 'te', CASE WHEN lock_mode = 2 THEN held END, moment, written, lines);
          EXIT WHEN generation IS NULL OR generation = 0;
        END IF;
        INSERT INTO ${s}.run_fact (workflow_id, generation, run_id, name, version, engine_version, input_hash, created_at, deadline_at, parent_run_id, options,
          long_forms)
        VALUES (op.wf, generation, op.ri, op.nm, op.ve, op.ev, op.ih, moment, op.dl, op.pa, op.os, op.lf)
        ON CONFLICT DO NOTHING RETURNING key INTO target;
        EXIT WHEN FOUND;
        generation := 0;
        -- Whoever was quicker may be no more in the way than those before.
        EXIT WHEN is_plain;
      END LOOP;
      IF generation IS NULL OR generation = 0 THEN
        x := op.x; n := NULL; k := NULL; w := NULL; made_at := NULL; extra := NULL;
        IF generation IS NULL THEN
          code := 14;
        ELSE
          -- A statement of its own: it sees what the insertion had to wait for.
          k := coalesce(${s}.find_run_1(NULL, op.ri, NULL), ${s}.find_run_1(op.wf, NULL, NULL));
          code := 5; extra := ${s}.run_record_1(k);
        END IF;
        RETURN NEXT;
        CONTINUE;
      END IF;
      INSERT INTO ${s}.run (key, chain, route, status, owner, epoch, last_seq, inbox_count, inbox_seen, due_at, park_count, park_reason, ended_at)
      VALUES (target, target, op.rt, CASE WHEN op.st < 2 THEN 0 ELSE op.st - 1 END, CASE WHEN op.st = 0 THEN op.ow END, op.e, op.n, op.ic, op.i,
        CASE WHEN op.e = 0 THEN coalesce(op.d, moment) ELSE op.d END, CASE WHEN op.st = 2 THEN 1 ELSE 0 END, op.pr, CASE WHEN op.st > 2 THEN moment END);
      written[op.x + 1] := target;
      held := held || target;
      IF op.m IS NOT NULL THEN
        PERFORM ${s}.put_items_1(target, op.m);
      END IF;
      IF op.t IS NOT NULL THEN
        PERFORM ${s}.queue_tasks_1(target, op.t);
      END IF;
      IF op.ex IS NOT NULL THEN
        PERFORM ${s}.leave_behind_1(target, target, op.ex);
      END IF;
      x := op.x; code := 4; n := op.ic; k := target; w := CASE WHEN op.st = 0 THEN op.ow END; made_at := moment; extra := NULL;
      RETURN NEXT;`;
