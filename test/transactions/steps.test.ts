// Transactional steps on every SQL database: the application's statements and the record of how the step ended are one transaction, whatever happens around it.
import { expect, it } from "vitest";
import {
  CancelledError,
  isPerdureError,
  message,
  NonRetryableError,
  RunFailedError,
  workflow,
  workflowRef,
  type AnyWorkflow,
  type TransactionSource,
  type WorkflowRef,
} from "perdure";
import type { Application, TestSql } from "../support/application.js";
import { onEverySqlBackend, type Lab } from "../support/lab.js";

const go = message("go");
const quick = { retry: { backoff: "1s", factor: 1 } } as const;

interface Shop extends Application {
  rows(): Promise<readonly number[]>;
}

async function shop(lab: Lab): Promise<Shop> {
  // On SQLite the file has to be perdure's before it is anybody else's.
  await lab.close(await lab.connect());
  const application = await lab.application();
  await application.query("CREATE TABLE booking (seat INTEGER PRIMARY KEY)");
  return {
    ...application,
    rows: async () => (await application.query("SELECT seat FROM booking ORDER BY seat")).map(({ seat }) => Number(seat)),
  };
}

const book = (sql: TestSql, seat: number) => sql.query(`INSERT INTO booking VALUES (${seat})`);

function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

onEverySqlBackend("transactional steps", (lab) => {
  /** A file takes one writer at a time: while a transaction is open on it no engine can write, and nothing can overtake it. */
  const isFile = lab.name === "SQLite";
  it("record their result with the statements, and a restart finds both", async () => {
    const { source, rows } = await shop(lab);
    let runs = 0;
    const wf = workflow("book", async (ctx, seat: number) => {
      const booked = await ctx.transaction("book", source, async (sql) => {
        runs++;
        await book(sql, seat);
        return { seat, at: new Date(7) };
      });
      await ctx.sleep("10 seconds");
      return booked;
    });
    let engine = await lab.launch({ workflows: [wf] });
    await engine.start(wf, 12, { id: "1" });
    await lab.waits(engine.get("1"), "timer");
    expect(await rows()).toEqual([12]);
    engine = await lab.restart(engine, { workflows: [wf] });
    expect(await lab.time.run(engine.get(wf, "1").result())).toEqual({ seat: 12, at: new Date(7) });
    expect([runs, await rows()]).toEqual([1, [12]]);
  });

  it("are rolled back by an error and tried again by their policy, but not after a NonRetryableError", async () => {
    const { source, rows } = await shop(lab);
    const seats: number[] = [];
    const attempt = (error: Error) => async (sql: TestSql) => {
      seats.push(seats.length + 1);
      await book(sql, seats.length);
      if (seats.length < 3) throw error;
      return "booked";
    };
    const wf = workflow("retried", (ctx) => ctx.transaction("book", source, attempt(new Error("full")), quick));
    const never = workflow("never", (ctx) => ctx.transaction("book", source, attempt(new NonRetryableError("closed")), quick));
    const engine = await lab.launch({ workflows: [wf, never] });
    expect(await lab.time.run(engine.execute(wf))).toBe("booked");
    expect([seats, await rows()]).toEqual([[1, 2, 3], [3]]);
    seats.length = 0;
    const failure = await lab.time.run(engine.execute(never).catch((error: unknown) => error));
    expect(failure).toBeInstanceOf(RunFailedError);
    expect((failure as Error).cause).toMatchObject({ name: "NonRetryableError", message: "closed" });
    expect([seats, await rows()]).toEqual([[1], [3]]);
  });

  it("fail with the error of their last attempt, which the code can catch", async () => {
    const { source, rows } = await shop(lab);
    let attempts = 0;
    const wf = workflow("last", async (ctx) => {
      try {
        await ctx.transaction(
          "book",
          source,
          async (sql) => {
            await book(sql, 1);
            throw new Error(`attempt ${++attempts}`);
          },
          { retry: { ...quick.retry, attempts: 3 } },
        );
      } catch (error) {
        return (error as Error).message;
      }
      return "";
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    expect(await lab.time.run(handle.result())).toBe("attempt 3");
    expect([attempts, await rows()]).toEqual([3, []]);
    expect((await handle.history()).map(({ kind }) => kind)).toEqual([
      "started",
      "attempt_failed",
      "attempt_failed",
      "operation_failed",
      "run_completed",
    ]);
  });

  it.skipIf(isFile)("of two owners one gets through; the other rolls back and adopts", async () => {
    const { source, rows } = await shop(lab);
    const [first, ends] = [gate(), gate()];
    const results: string[] = [];
    const wf = (who: string, wait: (sql: TestSql) => Promise<void>) =>
      workflow("race", async (ctx) => {
        const result = await ctx.transaction("book", source, async (sql) => {
          await wait(sql);
          await book(sql, who === "a" ? 1 : 2);
          return who;
        });
        results.push(result);
        return result;
      });
    const stalled = wf("a", async (sql) => {
      first.open();
      // A process that was stopped: it still has its transaction when it goes on.
      await sql.wait(ends.opened);
    });
    const zombie = await lab.launch({ workflows: [stalled], lease: "1s" });
    await zombie.start(stalled, undefined, { id: "1" });
    await lab.time.run(first.opened);
    lab.pause(zombie);
    const heir = wf("b", async () => undefined);
    const engine = await lab.launch({ workflows: [heir], lease: "1s" });
    expect(await lab.time.run(engine.get(heir, "1").result())).toBe("b");
    ends.open();
    await lab.resume(zombie);
    await lab.time.settle();
    expect([await rows(), results]).toEqual([[2], ["b"]]);
  });

  it.skipIf(isFile)("a late attempt of another owner is adopted where it was first, and the heir's is rolled back", async () => {
    const { source, rows } = await shop(lab);
    const [begun, goOn, heirBegun, heirGoesOn] = [gate(), gate(), gate(), gate()];
    const wf = (seat: number, begins: () => void, until: Promise<void>) =>
      workflow("race", (ctx) =>
        ctx.transaction("book", source, async (sql) => {
          begins();
          await sql.wait(until);
          await book(sql, seat);
          return seat;
        }),
      );
    const stalled = wf(1, begun.open, goOn.opened);
    const zombie = await lab.launch({ workflows: [stalled], lease: "1s" });
    await zombie.start(stalled, undefined, { id: "1" });
    await lab.time.run(begun.opened);
    lab.pause(zombie);
    const heir = wf(2, heirBegun.open, heirGoesOn.opened);
    const engine = await lab.launch({ workflows: [heir], lease: "1s" });
    const result = engine.get(heir, "1").result();
    await lab.time.run(heirBegun.opened);
    // Its transaction needs nothing of its engine any more: as if the commit was on its way.
    goOn.open();
    await lab.time.until(async () => (await rows()).length === 1);
    heirGoesOn.open();
    expect(await lab.time.run(result)).toBe(1);
    expect(await rows()).toEqual([1]);
    await lab.resume(zombie);
    await lab.time.settle();
    expect(await rows()).toEqual([1]);
  });

  /** Attempt 1 of a process that hangs in the middle of its transaction, and an heir that makes of the step what it will. */
  async function besideZombie(wf: (io: { readonly isZombie: boolean; hang(sql: TestSql): Promise<void> }) => AnyWorkflow) {
    const [begun, goOn, over] = [gate(), gate(), gate()];
    const hang = async (sql: TestSql): Promise<void> => {
      begun.open();
      await sql.wait(goOn.opened);
      // Its statements follow, and then the end of its transaction one way or the other.
      setImmediate(over.open);
    };
    const zombie = await lab.launch({ workflows: [wf({ isZombie: true, hang })], lease: "1s" });
    await zombie.start(workflowRef<WorkflowRef<undefined, unknown>>("race"), undefined, { id: "1" });
    await lab.time.run(begun.opened);
    lab.pause(zombie);
    const engine = await lab.launch({ workflows: [wf({ isZombie: false, hang })], lease: "1s" });
    return {
      engine,
      handle: engine.get("1"),
      async wake() {
        goOn.open();
        await lab.time.run(over.opened);
        await lab.time.settle();
        await lab.resume(zombie);
      },
    };
  }

  it.skipIf(isFile)("an attempt that commits while the next one is waited for counts", async () => {
    const { source, rows } = await shop(lab);
    let failed = 0;
    const { handle, wake } = await besideZombie(({ isZombie, hang }) =>
      workflow("race", (ctx) =>
        ctx.transaction(
          "book",
          source,
          async (sql) => {
            if (!isZombie) throw new Error(`failure ${++failed}`);
            await hang(sql);
            await book(sql, 1);
            return "the first";
          },
          { retry: { backoff: "1 hour" } },
        ),
      ),
    );
    await lab.time.until(() => failed === 1);
    await lab.time.until(async () => (await handle.history()).some(({ kind }) => kind === "attempt_failed"));
    await wake();
    expect(await lab.time.run(handle.result())).toBe("the first");
    expect([failed, await rows()]).toEqual([1, [1]]);
  });

  it.skipIf(isFile).each(["failed for good", "was cancelled"])("nothing commits once the code was told that the step %s", async (how) => {
    const { source, rows } = await shop(lab);
    const begun = gate();
    const { handle, wake } = await besideZombie(({ isZombie, hang }) =>
      workflow("race", async (ctx) => {
        try {
          await ctx.transaction("book", source, async (sql) => {
            if (isZombie) await hang(sql);
            else if (how === "failed for good") throw new NonRetryableError("closed");
            else {
              begun.open();
              await sql.wait(new Promise(() => undefined));
            }
            await book(sql, 1);
          });
        } catch (error) {
          // The run stays open, and would take what comes.
          await ctx.shield((shielded) => shielded.receive(go));
          return (error as Error).name;
        }
        return "booked";
      }),
    );
    if (how === "was cancelled") {
      await lab.time.run(begun.opened);
      await lab.time.run(handle.cancel("enough"));
    }
    await lab.waits(handle, "message");
    await wake();
    expect(await rows()).toEqual([]);
    await handle.send(go);
    expect(await lab.time.run(handle.result())).toBe(how === "was cancelled" ? "CancelledError" : "NonRetryableError");
    expect(await rows()).toEqual([]);
  });

  it("roll back if the run has ended meanwhile", async () => {
    const { source, rows } = await shop(lab);
    const [begun, goOn] = [gate(), gate()];
    const over = gate();
    const wf = workflow("ended", (ctx) =>
      ctx.transaction("book", source, async (sql) => {
        await book(sql, 1);
        begun.open();
        await sql.wait(goOn.opened);
        over.open();
      }),
    );
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.time.run(begun.opened);
    const terminated = handle.terminate("enough");
    if (!isFile) await lab.time.run(terminated);
    goOn.open();
    await lab.time.run(over.opened);
    await lab.time.run(terminated);
    const failure = await lab.time.run(handle.result().catch((error: unknown) => error));
    expect([isPerdureError(failure, "terminated"), await rows()]).toEqual([true, isFile ? [1] : []]);
  });

  it("a cancel rolls back what has not committed, and waits for it", async () => {
    const { source, rows } = await shop(lab);
    const [begun, goOn] = [gate(), gate()];
    const wf = workflow("cancelled", async (ctx) => {
      try {
        return await ctx.transaction("book", source, async (sql) => {
          await book(sql, 1);
          begun.open();
          await sql.wait(goOn.opened);
          return "booked";
        });
      } catch (error) {
        await ctx.shield((shielded) => shielded.step("note", () => undefined));
        if (error instanceof CancelledError) return "rolled back";
        throw error;
      }
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.time.run(begun.opened);
    const cancelled = handle.cancel("changed my mind");
    if (isFile) goOn.open();
    await lab.time.run(cancelled);
    expect(await lab.time.run(handle.result())).toBe(isFile ? "booked" : "rolled back");
    goOn.open();
    await lab.time.settle();
    expect(await rows()).toEqual(isFile ? [1] : []);
  });

  it("one that waits for its next attempt is ended by a cancel at once", async () => {
    const { source } = await shop(lab);
    let attempts = 0;
    const wf = workflow("waiting", (ctx) =>
      ctx.transaction("book", source, () => Promise.reject(new Error(`no ${++attempts}`)), { retry: { backoff: "1 hour", attempts: 9 } }),
    );
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.time.until(() => attempts === 1);
    const before = lab.time.now();
    await lab.time.run(handle.cancel("enough"));
    const failure = await lab.time.run(handle.result().catch((error: unknown) => error));
    expect(failure).toMatchObject({ code: "cancelled" });
    expect(attempts).toBe(1);
    expect(lab.time.now() - before).toBeLessThan(60_000);
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
  });

  it.skipIf(isFile)("an attempt that outlives its timeout is rolled back, and another one made", async () => {
    const { source, rows } = await shop(lab);
    let attempts = 0;
    const late = gate();
    const wf = workflow("slow", (ctx) =>
      ctx.transaction(
        "book",
        source,
        async (sql) => {
          const attempt = ++attempts;
          await book(sql, attempt);
          if (attempt === 1) await sql.wait(late.opened);
          return attempt;
        },
        { ...quick, timeout: "2s" },
      ),
    );
    const engine = await lab.launch({ workflows: [wf] });
    const result = (await engine.start(wf)).result();
    await lab.time.until(() => attempts === 1);
    await lab.time.advance(2100);
    late.open();
    expect(await lab.time.run(result)).toBe(2);
    expect(await rows()).toEqual([2]);
  });

  it("a step on a connection of the wrong database is refused with a reason, at once", async () => {
    const { other } = await shop(lab);
    const misplaced: TransactionSource<TestSql> = { ...other, completions: undefined };
    let runs = 0;
    const wf = workflow("misplaced", (ctx) => ctx.transaction("book", misplaced, async () => ++runs));
    const engine = await lab.launch({ workflows: [wf] });
    const failure = await lab.time.run(engine.execute(wf).catch((error: unknown) => error));
    // A schema of one database is no other database on PostgreSQL, and works.
    if (lab.name === "PostgreSQL") expect(failure).toBe(1);
    else
      expect((failure as Error).cause).toMatchObject({
        code: "invalid_argument",
        message: expect.stringMatching(/another|not a connection/),
      });
    expect(runs).toBe(1);
  });
});
