import { simpleFunction } from "./simple-function.js";
import { claimedColumns, nowMs, recordColumns } from "./sql.js";

/** How `apply_1` takes the rows of a batch. */
export const lockModes = {
  /** All at first, in the order of their keys, so that two batches never wait for one another. Waits, at most the lock_timeout. */
  ahead: 1,
  /** All that are free at first; what somebody else has locked is passed over (`locked`, or `deferred` where there is no such outcome). Never waits. */
  free: 2,
} as const;

/** What the functions say of an operation. Turns of which it says nothing were committed as they were asked for, with no more mail than their driver had seen. */
export const outcomeCodes = {
  committed: 0,
  fenced: 1,
  unseenInbox: 2,
  locked: 3,
  started: 4,
  exists: 5,
  sent: 6,
  duplicate: 7,
  notRunning: 8,
  notFound: 9,
  finished: 10,
  gone: 11,
  resumed: 12,
  notParked: 13,
  deferred: 14,
} as const;

export const operationCodes = { turn: 0, start: 1, send: 2, finish: 3, resume: 4 } as const;

/** What is to become of a run after its turn. An end is its status, 2 and up, plus 1. */
export const nextCodes = { driving: 0, idle: 1, parked: 2 } as const;

/**
 * A batch in one round trip, by one of two functions.
 *
 * `apply_1` takes any operations and goes through them in order, so that what a later one sees is what an earlier one did; each of its statements looks up
 * one row by a key, so that its plan cannot be a bad one.
 *
 * `apply_simple_1` (simple-function.ts) takes turns and starts of which none can see another, as most batches are, at a third of the cost.
 */
export const applyFunctions = (s: string): string => `
CREATE FUNCTION ${s}.run_record_1(wanted bigint) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT json_build_array(${recordColumns(s)})::text FROM ${s}.run r JOIN ${s}.run_fact f ON f.key = r.key WHERE r.key = wanted
$$;

CREATE FUNCTION ${s}.claimed_run_1(wanted bigint) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT json_build_array(${claimedColumns})::text FROM ${s}.run r JOIN ${s}.run_fact f ON f.key = r.key WHERE r.key = wanted
$$;

-- Queues tasks, each in the place of an older attempt of its command.
CREATE FUNCTION ${s}.queue_tasks_1(of_run bigint, tasks json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO ${s}.task (run, command, name, long_name, queue, attempt, due_at, options, input, input_bytes)
  SELECT of_run, j.c, j.n, j.ln, j.q, j.a, j.d, j.o, j.p, decode(j.b, 'base64')
  FROM json_to_recordset(tasks) AS j(c integer, n text, ln text, q text, a integer, d float8, o text, p text, b text)
  ON CONFLICT (run, command) DO UPDATE SET key = excluded.key, name = excluded.name, long_name = excluded.long_name, queue = excluded.queue,
    attempt = excluded.attempt, due_at = excluded.due_at, options = excluded.options, input = excluded.input, input_bytes = excluded.input_bytes,
    owner = NULL, epoch = 0, crash_count = 0;
END $$;

-- What lies in the inbox of a run from its beginning.
CREATE FUNCTION ${s}.put_items_1(of_chain bigint, items json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO ${s}.inbox (chain, position, kind, name, command, attempt, payload, payload_bytes)
  SELECT of_chain, j.po, j.kd, j.nm, j.co, j.at, j.p, decode(j.b, 'base64')
  FROM json_to_recordset(items) AS j(po integer, kd smallint, nm text, co integer, at integer, p text, b text);
END $$;

CREATE FUNCTION ${s}.find_run_1(of_workflow text, of_run text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE found_key bigint;
BEGIN
  IF of_workflow IS NOT NULL THEN
    SELECT f.key INTO found_key FROM ${s}.run_fact f WHERE f.workflow_id = of_workflow ORDER BY f.generation DESC LIMIT 1;
  ELSE
    SELECT f.key INTO found_key FROM ${s}.run_fact f WHERE f.run_id = of_run;
  END IF;
  RETURN found_key;
END $$;
${applyFunction(s)}${simpleFunction(s)}`;

const operationColumns = `x integer, o smallint, k bigint, e integer, s integer, n integer, i integer, st smallint, d float8, pr text, c integer[], t json,
    w integer[], wf text, ri text, nm text, lf text, ve text, ev integer, ih text, dl float8, ow integer, ic integer, m json,
    kd smallint, co integer, at integer, p text, b text, dk text, cw integer, cn text[]`;

const applyFunction = (s: string): string => `
CREATE FUNCTION ${s}.apply_1(operations json, lines json, lock_mode integer, claim_names text[])
RETURNS TABLE(x integer, code smallint, n integer, k bigint, w integer, made_at float8, extra text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  op record;
  r record;
  job record;
  written bigint[] := '{}';
  held bigint[] := '{}';
  target bigint;
  moment float8 := ${nowMs};
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
          SELECT CASE j.o WHEN 0 THEN j.k WHEN 3 THEN (SELECT q.run FROM ${s}.task q WHERE q.key = j.k) ELSE ${s}.find_run_1(j.wf, j.ri) END AS key
          FROM json_to_recordset(operations) AS j(o smallint, k bigint, wf text, ri text) WHERE j.o <> 1
        ) AS wanted WHERE wanted.key IS NOT NULL ORDER BY wanted.key
      ) AS sorted CROSS JOIN LATERAL (SELECT q.key FROM ${s}.run q WHERE q.key = sorted.key FOR NO KEY UPDATE${skip}) AS locked
    );`;
  return `  IF lock_mode = 1 THEN${lock("")}
  ELSIF lock_mode = 2 THEN${lock(" SKIP LOCKED")}
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
      WHERE q.key = op.k AND q.owner IS NOT NULL AND q.epoch = op.e AND q.last_seq = op.s AND (op.st < 3 OR q.inbox_count <= op.i)
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
      IF op.t IS NOT NULL THEN
        PERFORM ${s}.queue_tasks_1(op.k, op.t);
      END IF;
      IF op.w IS NOT NULL THEN
        DELETE FROM ${s}.task q WHERE q.run = op.k AND q.command = ANY (op.w);
      END IF;
      IF op.st > 2 THEN
        DELETE FROM ${s}.task q WHERE q.run = op.k;
        -- What was accepted and never taken stays; what only served to know duplicates goes.
        IF r.inbox_count > 0 THEN
          DELETE FROM ${s}.dedupe q WHERE q.chain = r.chain;
        END IF;
      END IF;
      IF r.inbox_count <> op.i THEN
        x := op.x; code := 0; n := r.inbox_count; k := NULL; w := r.owner; made_at := NULL; extra := NULL;
        RETURN NEXT;
      END IF;`;

const start = (s: string): string => `
      INSERT INTO ${s}.run_fact (workflow_id, generation, run_id, version, engine_version, input_hash, created_at, deadline_at, long_forms)
      VALUES (op.wf, 1, op.ri, op.ve, op.ev, op.ih, moment, op.dl, op.lf)
      ON CONFLICT DO NOTHING RETURNING key INTO target;
      IF NOT FOUND THEN
        -- A statement of its own: it sees what the insertion had to wait for.
        target := coalesce(${s}.find_run_1(op.wf, NULL), ${s}.find_run_1(NULL, op.ri));
        x := op.x; code := 5; n := NULL; k := target; w := NULL; made_at := NULL; extra := ${s}.run_record_1(target);
        RETURN NEXT;
        CONTINUE;
      END IF;
      INSERT INTO ${s}.run (key, chain, name, status, owner, epoch, last_seq, inbox_count, inbox_seen, due_at, park_count, park_reason, ended_at)
      VALUES (target, target, op.nm, CASE WHEN op.st < 2 THEN 0 ELSE op.st - 1 END, CASE WHEN op.st = 0 THEN op.ow END, op.e, op.n, op.ic, op.i,
        CASE WHEN op.e = 0 THEN coalesce(op.d, moment) ELSE op.d END, CASE WHEN op.st = 2 THEN 1 ELSE 0 END, op.pr, CASE WHEN op.st > 2 THEN moment END);
      written[op.x + 1] := target;
      held := held || target;
      IF op.m IS NOT NULL THEN
        PERFORM ${s}.put_items_1(target, op.m);
      END IF;
      IF op.t IS NOT NULL THEN
        PERFORM ${s}.queue_tasks_1(target, op.t);
      END IF;
      x := op.x; code := 4; n := op.ic; k := target; w := CASE WHEN op.st = 0 THEN op.ow END; made_at := moment; extra := NULL;
      RETURN NEXT;`;

/** Sends, outcomes of tasks, and resuming. */
const fromOutside = (s: string): string => `
      x := op.x; code := NULL; n := NULL; k := NULL; w := NULL; made_at := NULL; extra := NULL;
      IF op.o = 3 THEN
        SELECT q.run INTO target FROM ${s}.task q WHERE q.key = op.k AND q.epoch = op.e AND q.owner IS NOT NULL;
        IF NOT FOUND THEN
          code := 11;
        END IF;
      ELSE
        target := ${s}.find_run_1(op.wf, op.ri);
        IF target IS NULL THEN
          code := 9;
        END IF;
      END IF;
      IF code IS NULL AND lock_mode = 2 AND target <> ALL (held) THEN
        code := 14;
      END IF;
      IF code IS NOT NULL THEN
        RETURN NEXT;
        CONTINUE;
      END IF;

      -- The run is locked before its task, as in a turn.
      SELECT q.chain, q.status, q.owner, q.last_seq, q.due_at, q.crash_count, q.name INTO r FROM ${s}.run q WHERE q.key = target FOR NO KEY UPDATE;
      IF op.o = 4 THEN
        IF r.status <> 1 THEN
          code := 13;
        ELSE
          -- One that a worker is trying right now is due for nobody else; its next turn, or its recovery, says when it is due again.
          UPDATE ${s}.run q SET crash_count = 0, due_at = CASE WHEN q.owner IS NULL THEN moment END WHERE q.key = target;
          code := 12;
        END IF;
      ELSIF op.o = 3 THEN
        DELETE FROM ${s}.task q WHERE q.key = op.k AND q.epoch = op.e AND q.owner IS NOT NULL RETURNING q.command, q.attempt INTO job;
        IF NOT FOUND THEN
          code := 11;
        END IF;
      ELSIF r.status > 1 THEN
        code := 8;
      ELSE
        INSERT INTO ${s}.dedupe (chain, dedupe_key) VALUES (r.chain, op.dk) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
          code := 7;
        END IF;
      END IF;
      IF code IS NOT NULL THEN
        RETURN NEXT;
        CONTINUE;
      END IF;

${deliver(s)}
`;

/** Puts what has been accepted into the inbox, and makes the run due or gives it to the worker that asks for it. */
const deliver = (s: string): string => `
      -- A parked run stays as it is: its code cannot run, so what came waits for whatever mends it. So does a delayed start, unless it is to be cancelled.
      does_wake := r.owner IS NULL AND r.status = 0 AND (op.kd = 4 OR r.last_seq > 0 OR r.due_at IS NULL OR r.due_at <= moment);
      does_claim := does_wake AND op.cw IS NOT NULL AND r.crash_count < 2 AND r.name = ANY (coalesce(op.cn, claim_names))
        AND EXISTS (SELECT FROM ${s}.worker q WHERE q.key = op.cw AND q.lease_until > moment);
      UPDATE ${s}.run q SET
        inbox_count = q.inbox_count + 1,
        owner = CASE WHEN does_claim THEN op.cw ELSE q.owner END,
        epoch = CASE WHEN does_claim THEN q.epoch + 1 ELSE q.epoch END,
        is_suspect = CASE WHEN does_claim THEN false ELSE q.is_suspect END,
        due_at = CASE WHEN does_claim THEN NULL WHEN does_wake AND (q.due_at IS NULL OR q.due_at > moment) THEN moment ELSE q.due_at END
      WHERE q.key = target RETURNING q.inbox_count, q.owner INTO n, w;
      IF op.o = 3 THEN
        INSERT INTO ${s}.inbox (chain, position, kind, name, command, attempt, payload, payload_bytes)
        VALUES (r.chain, n, op.kd, '', job.command, job.attempt, op.p, decode(op.b, 'base64'));
        code := 10;
      ELSE
        INSERT INTO ${s}.inbox (chain, position, kind, name, command, attempt, payload, payload_bytes)
        VALUES (r.chain, n, op.kd, op.nm, op.co, op.at, op.p, decode(op.b, 'base64'));
        code := 6;
      END IF;
      k := target;
      IF does_claim THEN
        extra := ${s}.claimed_run_1(target);
      END IF;
      RETURN NEXT;`;
