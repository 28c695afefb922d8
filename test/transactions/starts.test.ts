// Starts inside the application's own transactions, on every SQL database: a run that is not there before the commit, and never was after a rollback.
import { expect, it } from "vitest";
import { isPerdureError, message, workflow } from "perdure";
import { onEverySqlBackend, type Lab } from "../support/lab.js";

const note = message<string>("note");
const ship = workflow("ship", async (ctx, order: number) => `${order} ${await ctx.receive(note)}`);

async function shop(lab: Lab) {
  await lab.close(await lab.connect());
  const application = await lab.application();
  await application.query("CREATE TABLE sale (id INTEGER PRIMARY KEY)");
  const sales = async (): Promise<readonly number[]> =>
    (await application.query("SELECT id FROM sale ORDER BY id")).map(({ id }) => Number(id));
  return { ...application, sales };
}

onEverySqlBackend("transactional starts", (lab) => {
  it("are there with the commit, begin by themselves, and are found by a handle", async () => {
    const { source, sales } = await shop(lab);
    const engine = await lab.launch({ workflows: [ship] });
    const before = lab.time.now();
    const handle = await source.run(async (sql) => {
      await sql.query("INSERT INTO sale VALUES (7)");
      return engine.start(ship, 7, { id: "order 7", transaction: source.use(sql), send: [note.of("gift")] });
    });
    expect(await lab.time.run(handle.result())).toBe("7 gift");
    // Nobody had to look for it: the process was told of the commit.
    expect(lab.time.now() - before).toBeLessThan(200);
    expect([handle.id, await sales()]).toEqual(["order 7", [7]]);
  });

  it("never were after a rollback, and their id is free", async () => {
    const { source, sales } = await shop(lab);
    const engine = await lab.launch({ workflows: [ship] });
    const rolledBack = source.run(async (sql) => {
      await sql.query("INSERT INTO sale VALUES (1)");
      await engine.start(ship, 1, { id: "order", transaction: source.use(sql) });
      throw new Error("no money");
    });
    await expect(rolledBack).rejects.toThrow("no money");
    await lab.time.advance(3000);
    expect(
      await engine
        .get("order")
        .describe()
        .catch((error: unknown) => isPerdureError(error, "not_found")),
    ).toBe(true);
    expect(await sales()).toEqual([]);
    const handle = await engine.start(ship, 2, { id: "order", send: [note.of("again")] });
    expect(await lab.time.run(handle.result())).toBe("2 again");
  });

  it("in a transaction that was begun by hand, by a client without workers, are found by a worker elsewhere", async () => {
    const { source, begin, sales } = await shop(lab);
    await lab.launch({ workflows: [ship] });
    const client = await lab.connect();
    const own = await begin();
    await own.sql.query("INSERT INTO sale VALUES (3)");
    const transaction = source.use(own.connection as never);
    const handle = await client.start(ship, 3, { id: "order 3", transaction, send: [note.of("fast")] });
    await own.end("COMMIT");
    expect(await lab.time.run(handle.result())).toBe("3 fast");
    expect(await sales()).toEqual([3]);
  });

  it("find a run that is there already: the same start, another one, and one of the same transaction", async () => {
    const { source } = await shop(lab);
    const engine = await lab.launch({ workflows: [ship] });
    const first = await engine.start(ship, 1, { id: "order" });
    await source.run(async (sql) => {
      const transaction = source.use(sql);
      const again = await engine.start(ship, 1, { id: "order", transaction });
      expect((await first.describe()).runId).toBe((await again.describe()).runId);
      await expect(engine.start(ship, 2, { id: "order", transaction })).rejects.toMatchObject({ code: "id_conflict" });
      await expect(engine.start(ship, 1, { id: "order", transaction, onExisting: "fail" })).rejects.toMatchObject({
        code: "already_exists",
      });
      await engine.start(ship, 5, { id: "new", transaction });
      await engine.start(ship, 5, { id: "new", transaction });
      await expect(engine.start(ship, 6, { id: "new", transaction })).rejects.toMatchObject({ code: "id_conflict" });
    });
    expect((await lab.time.run(engine.get("new").describe())).status).not.toBe("completed");
    await engine.get("new").send(note, "late");
    expect(await lab.time.run(engine.get(ship, "new").result())).toBe("5 late");
  });

  it.skipIf(lab.name === "SQLite")("hold up no other run while their transaction is open", async () => {
    const { source, begin } = await shop(lab);
    const engine = await lab.launch({ workflows: [ship] });
    const own = await begin();
    const handle = await engine.start(ship, 1, { id: "m", transaction: source.use(own.connection as never), send: [note.of("x")] });
    const ids = ["a", "b", "c", "n", "o", "p", "z"];
    const others = ids.map((id) => engine.execute(ship, 2, { id, send: [note.of(id)] }));
    expect(await lab.time.run(Promise.all(others))).toEqual(ids.map((id) => `2 ${id}`));
    await own.end("COMMIT");
    expect(await lab.time.run(handle.result())).toBe("1 x");
  });

  it("are refused on what is no transaction, or one that is over", async () => {
    const { source, begin } = await shop(lab);
    const engine = await lab.launch({ workflows: [ship] });
    const refused = (transaction: unknown) =>
      expect(engine.start(ship, 1, { transaction: transaction as never })).rejects.toMatchObject({ code: "invalid_argument" });
    await refused({});
    await refused({ kind: "transaction_source" });
    await refused(source.use({} as never));
    const own = await begin();
    await own.sql.query("SELECT 1 AS one");
    await own.end("ROLLBACK");
    if (lab.name !== "SQLite") await refused(source.use(own.connection as never));
  });
});
