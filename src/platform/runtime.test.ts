import { expect, it } from "vitest";
import { systemRuntime } from "./runtime.js";

it("makes UUIDs of version 7, which sort by the time of their making", async () => {
  const runtime = systemRuntime();
  const before = Date.now();
  const ids = Array.from({ length: 1000 }, () => runtime.uuid());
  for (const id of ids) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const time = Number.parseInt(id.slice(0, 13).replace("-", ""), 16);
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(Date.now());
  }
  expect(new Set(ids).size).toBe(1000);
});
