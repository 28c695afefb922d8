/**
 * The part of `apply_1` for what reaches a run from outside: messages, outcomes and chunks of bodies, and the orders to try it again or to end it.
 * The run is locked before its task, as in a turn.
 */
export const fromOutside = (s: string): string => `
      x := op.x; code := NULL; n := NULL; k := NULL; w := NULL; made_at := NULL; extra := NULL;
      IF op.o = 6 THEN
${touch(s)}
        RETURN NEXT;
        CONTINUE;
      END IF;
      LOOP
${find(s)}
        IF code IS NULL AND lock_mode = 2 AND target <> ALL (held) THEN
          code := 14;
        END IF;
        EXIT WHEN code IS NOT NULL;
        SELECT q.chain, q.status, q.owner, q.epoch, q.last_seq, q.due_at, q.crash_count, q.route INTO r
        FROM ${s}.run q WHERE q.key = target FOR NO KEY UPDATE;
        EXIT WHEN r.status < 2 OR op.o IN (3, 7) OR op.ri IS NOT NULL;
        -- Whoever had the row may have gone on with another run, which is the one that is meant now.
        EXIT WHEN ${s}.find_run_1(op.wf, NULL, op.ch) = target;
      END LOOP;
      IF code IS NULL THEN
${act(s)}
      END IF;
      IF code IS NOT NULL THEN
        RETURN NEXT;
        CONTINUE;
      END IF;

${deliver(s)}
`;

/** Needs nothing of the run, so that whoever holds its row does not hold up a heartbeat. */
const touch = (s: string): string => `
        UPDATE ${s}.task q SET
          details = CASE WHEN op.p IS NULL AND op.b IS NULL THEN q.details ELSE op.p END,
          details_bytes = CASE WHEN op.p IS NULL AND op.b IS NULL THEN q.details_bytes ELSE decode(op.b, 'base64') END,
          expires_at = CASE WHEN q.heartbeat_ms IS NULL THEN q.expires_at ELSE moment + q.heartbeat_ms END,
          owner = CASE WHEN op.st = 0 THEN q.owner END,
          due_at = CASE WHEN op.st = 0 THEN q.due_at END
        WHERE q.key = op.k AND q.epoch = op.e AND q.owner IS NOT NULL RETURNING q.is_cancel_requested::integer INTO n;
        code := CASE WHEN FOUND THEN 15 ELSE 11 END;`;

const find = (s: string): string => `
        IF op.o = 3 THEN
          IF op.k IS NOT NULL THEN
            SELECT q.run INTO target FROM ${s}.task q WHERE q.key = op.k AND q.epoch = op.e AND q.owner IS NOT NULL;
          ELSE
            SELECT q.run INTO target FROM ${s}.task q
            WHERE q.run = ${s}.find_run_1(NULL, op.ri, NULL) AND q.command = op.co AND q.attempt = op.at;
          END IF;
          IF NOT FOUND THEN
            code := 11;
          END IF;
        ELSIF op.o = 7 THEN
          IF op.st = 0 THEN
            SELECT q.key INTO target FROM ${s}.run q WHERE q.key = op.k;
          ELSE
            SELECT q.run INTO target FROM ${s}.task q WHERE q.key = op.k AND q.epoch = op.e AND q.owner IS NOT NULL;
          END IF;
          IF NOT FOUND THEN
            code := 1;
          END IF;
        ELSE
          target := ${s}.find_run_1(op.wf, op.ri, op.ch);
          IF target IS NULL THEN
            code := 9;
          END IF;
        END IF;`;

/** Does what is to be done with the run's row locked; without a code, there is something to deliver. */
const act = (s: string): string => `
        IF op.o = 2 THEN
          IF r.status > 1 THEN
            code := 8;
          ELSE
            INSERT INTO ${s}.dedupe (chain, dedupe_key) VALUES (r.chain, op.dk) ON CONFLICT DO NOTHING;
            IF NOT FOUND THEN
              code := 7;
            END IF;
          END IF;
        ELSIF op.o = 3 THEN
          IF op.k IS NOT NULL THEN
            DELETE FROM ${s}.task q WHERE q.key = op.k AND q.epoch = op.e AND q.owner IS NOT NULL RETURNING q.command, q.attempt INTO job;
          ELSE
            DELETE FROM ${s}.task q WHERE q.run = target AND q.command = op.co AND q.attempt = op.at RETURNING q.command, q.attempt INTO job;
          END IF;
          IF NOT FOUND THEN
            code := 11;
          ELSIF op.kd IS NULL THEN
            code := 10; n := 0; k := target; w := r.owner;
          ELSIF r.status > 1 THEN
            -- A task that an ended run left behind has nobody to tell.
            code := 11;
          END IF;
        ELSIF op.o = 4 THEN
          IF r.status <> 1 THEN
            code := 13;
          ELSE
            -- One that a worker is trying right now is due for nobody else; its next turn, or its recovery, says when it is due again.
            UPDATE ${s}.run q SET crash_count = 0, due_at = CASE WHEN q.owner IS NULL THEN moment END WHERE q.key = target;
            code := 12;
          END IF;
        ELSIF op.o = 5 THEN
          IF r.status > 1 THEN
            code := 8;
          ELSE
            PERFORM ${s}.terminate_run_1(target, op.ex, moment, written, lines);
            code := 17; k := target; extra := ${s}.claimed_run_1(target);
          END IF;
        ELSE
          code := 1;
          IF r.status < 2 AND op.st = 0 AND r.owner IS NOT NULL AND r.epoch = op.e THEN
            code := 16;
          ELSIF r.status < 2 AND op.st = 1 THEN
            -- Held, so that whoever claims the task next knows all that was appended before.
            PERFORM 1 FROM ${s}.task q WHERE q.key = op.k AND q.epoch = op.e AND q.owner IS NOT NULL FOR NO KEY UPDATE;
            IF FOUND THEN
              code := 16;
            END IF;
          END IF;
          IF code = 16 THEN
            PERFORM ${s}.append_chunks_1(r.chain, op.ex);
          END IF;
        END IF;`;

/** Puts what has been accepted into the inbox, and makes the run due or gives it to the worker that asks for it. */
const deliver = (s: string): string => `
      -- A parked run stays as it is: its code cannot run, so what came waits for whatever mends it. So does a delayed start, unless it is to be cancelled.
      does_wake := r.owner IS NULL AND r.status = 0 AND (op.kd = 4 OR r.last_seq > 0 OR r.due_at IS NULL OR r.due_at <= moment);
      does_claim := does_wake AND op.cw IS NOT NULL AND r.crash_count < 2 AND r.route = ANY (coalesce(op.cn, claim_routes));
      IF does_claim THEN
        does_claim := EXISTS (SELECT FROM ${s}.worker q WHERE q.key = op.cw AND q.lease_until > moment);
      END IF;
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
        INSERT INTO ${s}.inbox (chain, position, kind, name, command, attempt, payload, payload_bytes, options)
        VALUES (r.chain, n, op.kd, op.nm, op.co, op.at, op.p, decode(op.b, 'base64'), op.os);
        code := 6;
      END IF;
      k := target;
      IF does_claim THEN
        extra := ${s}.claimed_run_1(target);
      END IF;
      RETURN NEXT;`;
