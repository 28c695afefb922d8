// Transactional steps whose statements go to another database than the backend's: a table of completions there makes them happen once.
import { expect, it } from "vitest";
import { encryption, NonRetryableError, workflow } from "perdure";
import type { TestSql } from "../support/application.js";
import { onEverySqlBackend, type Lab } from "../support/lab.js";

async function shop(lab: Lab) {
  const application = await lab.application();
  await application.queryOther("CREATE TABLE booking (seat INTEGER PRIMARY KEY)");
  const rows = async (): Promise<readonly number[]> =>
    (await application.queryOther("SELECT seat FROM booking ORDER BY seat")).map(({ seat }) => Number(seat));
  const records = async (): Promise<readonly string[]> =>
    (await application.queryOther("SELECT status FROM perdure_completion ORDER BY command")).map(({ status }) => String(status));
  return { ...application, rows, records };
}

const book = (sql: TestSql, seat: number) => sql.query(`INSERT INTO booking VALUES (${seat})`);
const quick = { retry: { backoff: "1s", factor: 1 } } as const;

onEverySqlBackend("completions in another database", (lab) => {
  it("hold the result together with the statements", async () => {
    const { other, rows, records } = await shop(lab);
    const wf = workflow("book", (ctx, seat: number) =>
      ctx.transaction("book", other, async (sql) => (await book(sql, seat), { seat, at: new Date(7), odd: "ä\\'\u{1F600}" })),
    );
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf, 4))).toEqual({ seat: 4, at: new Date(7), odd: "ä\\'\u{1F600}" });
    expect([await rows(), await records()]).toEqual([[4], ["completed"]]);
  });

  it("tell the next owner of what the one before it committed and could not say", async () => {
    const { other, rows } = await shop(lab);
    let runs = 0;
    const wf = workflow("book", (ctx) =>
      ctx.transaction("book", other, async (sql) => {
        await book(sql, ++runs);
        // Dead from here on, but what it has sent to the database takes effect.
        if (runs === 1) lab.kill(dying);
        return `run ${runs} \\ "ä"`;
      }),
    );
    const dying = await lab.launch({ workflows: [wf], lease: "1s" });
    await dying.start(wf, undefined, { id: "1" });
    await lab.time.until(async () => (await rows()).length === 1);
    const engine = await lab.launch({ workflows: [wf], lease: "1s" });
    expect(await lab.time.run(engine.get(wf, "1").result())).toBe('run 1 \\ "ä"');
    expect([runs, await rows()]).toEqual([1, [1]]);
  });

  it("are sealed like everything else", async () => {
    const { other, queryOther } = await shop(lab);
    let runs = 0;
    const wf = workflow("book", (ctx) =>
      ctx.transaction("book", other, async (sql) => {
        await book(sql, ++runs);
        if (runs === 1) lab.kill(dying);
        return "a secret";
      }),
    );
    const codec = [encryption({ keys: { a: Buffer.alloc(32, 7) }, current: "a" })];
    const options = { workflows: [wf], codec, lease: "1s" } as const;
    const dying = await lab.launch(options);
    await dying.start(wf, undefined, { id: "1" });
    await lab.time.until(async () => (await queryOther("SELECT seat FROM booking")).length === 1);
    const engine = await lab.launch(options);
    expect(await lab.time.run(engine.get(wf, "1").result())).toBe("a secret");
    const [row] = await queryOther("SELECT payload_text, payload_bytes FROM perdure_completion");
    expect(row?.["payload_text"]).toBeNull();
    expect(Buffer.from(row?.["payload_bytes"] as Uint8Array).toString("latin1")).not.toContain("secret");
  });

  it("hold the failure of the last attempt, so that nothing can commit after it", async () => {
    const { other, rows, records } = await shop(lab);
    let attempts = 0;
    const wf = workflow("fails", (ctx) =>
      ctx.transaction(
        "book",
        other,
        async (sql) => {
          await book(sql, ++attempts);
          throw attempts < 2 ? new Error("once more") : new NonRetryableError("closed");
        },
        quick,
      ),
    );
    const engine = await lab.launch({ workflows: [wf] });
    const failure = await lab.time.run(engine.execute(wf).catch((error: unknown) => error));
    expect((failure as Error).cause).toMatchObject({ message: "closed" });
    expect([attempts, await rows(), await records()]).toEqual([2, [], ["failed"]]);
  });

  // Schemas of one database share transactions.
  it.skipIf(lab.name === "PostgreSQL")("are no start's: that has to be in the backend's own database", async () => {
    const { other } = await shop(lab);
    const wf = workflow("started", async () => undefined);
    const engine = await lab.launch({ workflows: [wf] });
    const start = other.run((sql) => engine.start(wf, undefined, { transaction: other.use(sql) }));
    await expect(start).rejects.toMatchObject({ code: "invalid_argument" });
  });
});
