// A transactional outbox without an outbox: an order and the workflow that fulfils it commit together, and so do stock and checkpoint. Queries by Kysely.
import Database from "libsql";
import { Kysely, SqliteDialect } from "kysely";
import { launch, NonRetryableError, workflow } from "perdure";
import { sqlite, transactions } from "perdure/sqlite";

interface Shop {
  readonly sale: { readonly id: number; readonly item: string };
  readonly stock: { readonly item: string; readonly pieces: number };
}

// The application's own connection to the file that the engine keeps its runs in.
const handle = new Database("shop.db");
const db = transactions(handle, { as: (database) => new Kysely<Shop>({ dialect: new SqliteDialect({ database }) }) });

const fulfil = workflow("fulfil", async (ctx, sale: Shop["sale"]) => {
  // The update and the record that this step is done are one transaction: however often a process dies here, one piece is taken.
  const left = await ctx.transaction("take from stock", db, async (shop) => {
    const { pieces } = await shop
      .updateTable("stock")
      .set(({ eb }) => ({ pieces: eb("pieces", "-", 1) }))
      .where("item", "=", sale.item)
      .returning("pieces")
      .executeTakeFirstOrThrow();
    if (pieces < 0) throw new NonRetryableError(`no ${sale.item} left`);
    return pieces;
  });
  await ctx.step("mail", () => console.log(`order ${sale.id}: the ${sale.item} is on its way, ${left} left`));
});

const engine = await launch({ backend: sqlite("shop.db"), workflows: [fulfil] });
handle.exec("CREATE TABLE sale (id INTEGER PRIMARY KEY, item TEXT); CREATE TABLE stock (item TEXT PRIMARY KEY, pieces INTEGER)");
handle.exec("INSERT INTO stock VALUES ('lamp', 1)");

/** Sells: the order is in the table if and only if a workflow fulfils it. Nothing is sent, so nothing can be lost or sent for an order that never was. */
const sell = (sale: Shop["sale"], paid: boolean) =>
  db.run(async (shop) => {
    await shop.insertInto("sale").values(sale).execute();
    const run = await engine.start(fulfil, sale, { id: `sale-${sale.id}`, transaction: db.use(shop) });
    if (!paid) throw new Error(`order ${sale.id} is not paid`);
    return run;
  });

const first = await sell({ id: 1, item: "lamp" }, true);
await first.result();
await sell({ id: 2, item: "lamp" }, false).catch((error: unknown) => console.log((error as Error).message));
const third = await sell({ id: 3, item: "lamp" }, true);
await third.result().catch((error: unknown) => console.log((error as Error).message));
console.log(await db.run((shop) => shop.selectFrom("sale").select("id").execute()));
await engine.close();
handle.close();

/* Output:
order 1: the lamp is on its way, 0 left
order 2 is not paid
Run "sale-3" failed: no lamp left
[ { id: 1 }, { id: 3 } ]
*/
