// Who counts as dead: at once whoever is seen to be, and after a second look whoever merely holds no lock any more.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { postgres } from "perdure/postgres";
import { processMark } from "../../src/platform/process-mark.js";
import { systemRuntime, type Runtime } from "../../src/platform/runtime.js";
import { hourMs } from "../../src/testing/conformance/samples.js";
import { postgresServer } from "../support/postgres.js";

const server = postgresServer({ isOwn: true });

/** A worker whose connections have ended and that did not take its leave, and how long those wait for it who look. */
async function waitsFor(mark: string | undefined): Promise<{ readonly workers: number; readonly waitsMs: readonly number[] }> {
  const schema = server.schema();
  const waitsMs: number[] = [];
  const system = systemRuntime();
  const runtime: Runtime = Object.assign(Object.create(system) as Runtime, {
    setTimer: (...[callback, delayMs, options]: Parameters<Runtime["setTimer"]>) => {
      if (delayMs > 100 && delayMs < 1000) waitsMs.push(delayMs);
      return system.setTimer(callback, delayMs, options);
    },
  });
  const [left, other] = await Promise.all([postgres(server.url, { schema }).open(system), postgres(server.url, { schema }).open(runtime)]);
  try {
    const { worker } = await left.registerWorker({ workerId: "left", leaseMs: hourMs });
    await server.query(`UPDATE "${schema}".worker SET process = ${mark === undefined ? "NULL" : `'${mark}'`} WHERE key = ${worker}`);
    expect(await other.recover(null)).toEqual({ workers: 0, runs: 0, tasks: 0 });
    expect(waitsMs).toEqual([]);
    await left.close();
    let workers = 0;
    await expect.poll(async () => (workers += (await other.recover(null)).workers), { timeout: 5000 }).toBe(1);
    return { workers, waitsMs };
  } finally {
    await other.close();
  }
}

test.runIf(existsSync("/proc/self/ns/pid"))("a worker whose process is gone is dead at once", async () => {
  const child = spawn(process.execPath, ["-e", ""], { stdio: "ignore" });
  const mark = (processMark() ?? "").replace(/ \d+ \d+$/, ` ${child.pid} 1`);
  await once(child, "exit");
  expect(await waitsFor(mark)).toEqual({ workers: 1, waitsMs: [] });
});

test("one whose process lives, or of whose process nothing is known, may come back", async () => {
  expect(await waitsFor(processMark())).toEqual({ workers: 1, waitsMs: [201] });
  expect(await waitsFor(undefined)).toEqual({ workers: 1, waitsMs: [201] });
  expect(await waitsFor("another-boot pid:[1] 1 1")).toEqual({ workers: 1, waitsMs: [201] });
});
