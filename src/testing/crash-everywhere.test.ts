import { AssertionError } from "node:assert";
import { expect, it } from "vitest";
import { activity, message, workflow, type Logger } from "perdure";
import { crashEverywhere } from "./index.js";

const logger: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

const approved = message<string>("approved");
const ship = activity("ship", async (id: string) => `shipped ${id}`);
const audit = workflow("audit", (ctx, id: string) => ctx.step("note", () => `noted ${id}`));
const order = workflow("order", async (ctx, id: string) => {
  const paid = await ctx.step("charge", () => "");
  const [by, noted] = await Promise.all([ctx.receive(approved), ctx.child(audit, id)]);
  const retried = await ctx.step("flaky", ({ attempt }) => (attempt < 2 ? Promise.reject(new Error("later")) : attempt));
  await ctx.sleep("1 day");
  return { paid, by, noted, retried, shipped: await ctx.activity(ship, id), draw: ctx.random() };
});
const options = { workflows: [order, audit], activities: [ship], logger };

it("kills the worker at every write, before and after, and finds everything the same", async () => {
  let runs = 0;
  const report = await crashEverywhere(options, async (engine) => {
    runs++;
    const charges = new Set<string>();
    engine.mockStep(order, "charge", ({ idempotencyKey }) => `${charges.add(idempotencyKey).size} charges`);
    const handle = await engine.start(order, "7", { id: "order-7" });
    engine.at("6 hours", () => handle.send(approved, "ann"));
    return { ...(await handle.result()), charges: charges.size };
  });
  expect(report.result).toMatchObject({ paid: "1 charges", by: "ann", noted: "noted 7", retried: 2, shipped: "shipped 7", charges: 1 });
  expect(report.writes).toBeGreaterThan(10);
  expect(report.crashes).toBeGreaterThan(report.writes);
  expect(runs).toBe(report.crashes + 1);
});

it("says where the outcome differed", async () => {
  const careless = crashEverywhere(options, async (engine) => {
    let charges = 0;
    engine.mockStep(order, "charge", () => `${++charges} charges`);
    return (await engine.execute(order, "7", { send: [approved.of("ann")] })).paid;
  });
  const error = await careless.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(AssertionError);
  const { message: text, actual, expected } = error as AssertionError;
  expect(text).toMatch(/^The scenario came out differently after \d of \d+ crashes\. Undisturbed it resolves with '1 charges'/);
  expect(text).toContain("(operation_completed");
  expect(text).toContain("'2 charges'");
  expect({ actual, expected }).toEqual({ actual: { resolved: "2 charges" }, expected: { resolved: "1 charges" } });
});

it("refuses scenarios that fail by themselves, or take another way each time", async () => {
  await expect(crashEverywhere(options, () => Promise.reject(new Error("no")))).rejects.toThrow("fails without any crash: Error: no");
  let calls = 0;
  const fickle = crashEverywhere(options, async (engine) => (calls++ === 0 ? engine.execute(audit, "1") : "noted 1"));
  await expect(fickle).rejects.toThrow("the scenario is not the same each time");
});
