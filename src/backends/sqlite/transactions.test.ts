import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import Libsql from "libsql";
import { completionTableSql, transactions } from "./transactions.js";

let folder: string;
const handles: Libsql.Database[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "perdure-transactions-"));
});
afterEach(() => {
  for (const handle of handles.splice(0)) handle.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(): Libsql.Database {
  const handle = new Libsql(join(folder, "a.db"));
  handles.push(handle);
  handle.exec("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS booking (seat INTEGER PRIMARY KEY)");
  return handle;
}
const seats = (handle: Libsql.Database): readonly number[] =>
  (handle.prepare("SELECT seat FROM booking ORDER BY seat").all() as { seat: number }[]).map(({ seat }) => seat);
const book = (handle: Libsql.Database, seat: number) => handle.prepare("INSERT INTO booking VALUES (?)").run(seat);
const timeoutOf = (handle: Libsql.Database) => Object.values(handle.prepare("PRAGMA busy_timeout").get() as object)[0] as number;

it("transactions on one handle come one after the other, those of two sources too, and a rollback is nobody else's", async () => {
  const handle = open();
  const [one, other] = [transactions(handle), transactions(handle)];
  let running = 0;
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, (_, n) =>
      (n % 2 === 0 ? one : other).run(async (db) => {
        expect(++running).toBe(1);
        book(db, n);
        await new Promise<void>((resolve) => void setImmediate(resolve));
        running--;
        if (n % 5 === 0) throw new Error("no");
        return n;
      }),
    ),
  );
  const kept = Array.from({ length: 20 }, (_, n) => n).filter((n) => n % 5 !== 0);
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(kept.length);
  expect(seats(handle)).toEqual(kept);
});

it("a lock that somebody has is waited for without blocking the event loop, whatever the handle's own timeout", async () => {
  const [holder, handle] = [open(), open()];
  handle.exec("PRAGMA busy_timeout = 4000");
  holder.exec("BEGIN IMMEDIATE");
  let turns = 0;
  const booked = transactions(handle).run(async (db) => book(db, 1));
  while (turns < 50) {
    await new Promise<void>((resolve) => void setImmediate(resolve));
    turns++;
  }
  holder.exec("COMMIT");
  await booked;
  expect([seats(handle), timeoutOf(handle)]).toEqual([[1], 4000]);
});

it("a lock that somebody keeps is given up on, and the next transaction gets its turn", async () => {
  const [holder, handle] = [open(), open()];
  const source = transactions(handle, { busyWaitMs: 20 });
  holder.exec("BEGIN IMMEDIATE");
  await expect(source.run(async (db) => book(db, 1))).rejects.toMatchObject({ code: "backend_unavailable" });
  holder.exec("ROLLBACK");
  await source.run(async (db) => book(db, 2));
  expect(seats(handle)).toEqual([2]);
});

it("a handle on which somebody else has begun is refused", async () => {
  const handle = open();
  handle.exec("BEGIN");
  await expect(transactions(handle).run(async () => undefined)).rejects.toMatchObject({ code: "invalid_argument" });
});

it("work that goes on after its abort keeps the transaction until its end, and is rolled back then", async () => {
  const handle = open();
  const controller = new AbortController();
  const reason = new Error("enough");
  const run = transactions(handle).run(
    async (db) => {
      book(db, 1);
      controller.abort(reason);
      await new Promise<void>((resolve) => void setImmediate(resolve));
      expect(db.inTransaction).toBe(true);
      book(db, 2);
    },
    { signal: controller.signal },
  );
  await expect(run).rejects.toBe(reason);
  expect(seats(handle)).toEqual([]);
});

it.each([
  ["a path", () => transactions("a.db" as never)],
  ["nothing", () => transactions(undefined as never)],
  ["a misspelt option", () => transactions(open(), { complétions: "x" } as never)],
  ["a table that would need quoting", () => transactions(open(), { completions: 'x"; DROP TABLE y' })],
  ["a wait that is no number", () => transactions(open(), { busyWaitMs: Number.NaN })],
  ["such a table, to be printed", () => completionTableSql("a.b.c")],
])("is refused: %s", (_, make) => {
  expect(make).toThrow(expect.objectContaining({ code: "invalid_argument" }));
});
