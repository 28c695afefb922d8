import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { setTimeout as nap } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { launch, workflow, type Engine, type LaunchOptions, type Logger, type RunInfo } from "perdure";
import { memory } from "perdure/memory";

const real = {
  now: Date.now,
  Date,
  random: Math.random,
  setTimeout,
  setInterval,
  setImmediate,
  fetch,
  constructor: Date.prototype.constructor,
};
const current = (): typeof real => ({
  now: Date.now,
  Date,
  random: Math.random,
  setTimeout,
  setInterval,
  setImmediate,
  fetch,
  constructor: Date.prototype.constructor,
});

const warnings: string[] = [];
const logger: Logger = { debug() {}, info() {}, warn: (text) => void warnings.push(text), error() {} };
const engines: Engine[] = [];
afterEach(async () => {
  await Promise.all(engines.splice(0).map((engine) => engine.close()));
  warnings.length = 0;
});

let fired = 0;
const uses: Readonly<Record<string, () => unknown>> = {
  "Date.now() → ctx.now()": () => Date.now(),
  "new Date() → ctx.now()": () => new Date(),
  "Date() → ctx.now()": () => Date(),
  "Math.random() → ctx.random()": () => Math.random(),
  "crypto.randomUUID() → ctx.uuid()": () => crypto.randomUUID(),
  "setTimeout(…) → ctx.sleep(…)": () => clearTimeout(setTimeout(() => fired++, 0)),
  "setInterval(…) → ctx.sleep(…)": () => clearInterval(setInterval(() => fired++, 0)),
  "setImmediate(…) → ctx.sleep(0)": () => setImmediate(() => fired++),
  "fetch(…) → ctx.step(": () => void fetch("http://127.0.0.1:9/").catch(() => fired++),
};
const harmless = (): unknown => [
  new Date(5),
  Date.UTC(2020, 1),
  new Date(2020, 1, 1) instanceof Date,
  performance.now(),
  structuredClone(new Date(7)),
];

let caught = 0;
const user = workflow("user", async (ctx, use: string) => {
  await ctx.step("everything is allowed here", async () => {
    for (const one of Object.values(uses)) one();
    await nap(1);
    return [Date.now(), new Date()];
  });
  try {
    (uses[use] ?? harmless)();
    return await ctx.step("after", () => "done");
  } catch {
    caught++;
    return "caught";
  }
});

async function open(options: Partial<LaunchOptions> = {}): Promise<Engine> {
  const engine = await launch({ backend: memory(), workflows: [user], logger, ...options });
  engines.push(engine);
  return engine;
}

async function parked(engine: Engine, use: string): Promise<RunInfo> {
  const handle = await engine.start(user, use);
  for (;;) {
    const info = await handle.describe();
    if (info.status === "parked") return info;
    expect(["running", "waiting", "queued"]).toContain(info.status);
    await nap(1);
  }
}

describe("workflow code", () => {
  it.each(Object.keys(uses))("that calls %s is parked with a report, and nothing of it is thrown or done", async (use) => {
    const engine = await open();
    const [call = "", instead = ""] = use.split(" → ");
    const { parked: reason } = await parked(engine, use);
    expect(reason).toMatchObject({ code: "nondeterminism", message: expect.stringContaining(`The workflow called ${call}`) });
    expect(reason?.message).toContain(`Use ${instead}`);
    expect(reason?.report).toMatch(/The call:\n\s+at .*guard\.test\.ts:\d+/);
    fired = 0;
    await nap(5);
    expect({ fired, caught }).toEqual({ fired: 0, caught: 0 });
  });

  it("may use what is the same on every replay", async () => {
    expect(await (await open()).execute(user, "nothing")).toBe("done");
  });

  it("may do as it likes when the guard is off", async () => {
    const engine = await open({ guard: false });
    for (const use of Object.keys(uses)) expect(await engine.execute(user, use)).toBe("done");
    expect(current()).toEqual(real);
  });
});

describe("a package that workflow code calls", () => {
  it("is warned of once for reading a clock, and parks the run for a request", async () => {
    const folder = join(await mkdtemp(join(tmpdir(), "perdure-guard-")), "node_modules", "logging");
    await mkdir(folder, { recursive: true });
    await writeFile(
      join(folder, "index.mjs"),
      'export const stamp = () => Date.now();\nexport const report = () => fetch("http://127.0.0.1:9/");\n',
    );
    const logging = (await import(pathToFileURL(join(folder, "index.mjs")).href)) as { stamp(): number; report(): unknown };
    const logs = workflow("logs", async (ctx) => [logging.stamp() > 0, await ctx.step("after", () => "done")]);
    const reports = workflow("reports", async () => void (await logging.report()));
    const engine = await open({ workflows: [logs, reports] });
    for (let i = 0; i < 3; i++) expect(await engine.execute(logs)).toEqual([true, "done"]);
    expect(warnings).toEqual([expect.stringMatching(/^A package called Date\.now\(\) in workflow code\..*ctx\.now\(\)/)]);
    const handle = await engine.start(reports);
    while ((await handle.describe()).status !== "parked") await nap(1);
    await rm(dirname(dirname(folder)), { recursive: true });
  });
});

describe("the guarded globals", () => {
  it("serve other code as ever", async () => {
    await open();
    expect(Date.now).not.toBe(real.now);
    expect(Math.abs(Date.now() - real.now())).toBeLessThan(1000);
    expect(new Date().constructor).toBe(Date);
    expect(new Date()).toBeInstanceOf(real.Date);
    expect(new (class Day extends Date {})(5).getTime()).toBe(5);
    expect(typeof Date()).toBe("string");
    expect(setTimeout.name).toBe("setTimeout");
    const { promisify } = await import("node:util");
    expect(await promisify(setTimeout)(1, "value")).toBe("value");
    expect(await new Promise((resolve) => void setImmediate(resolve, "argument"))).toBe("argument");
  });

  it("are shared by engines and given back after the last", async () => {
    const [first, second] = [await open(), await open()];
    const guarded = current();
    await first.close();
    await first.close();
    expect(current()).toEqual(guarded);
    expect(await parked(second, "Date.now() → ctx.now()")).toBeDefined();
    await second.close();
    expect(current()).toEqual(real);
  });

  it("leave alone what somebody else has put in their place", async () => {
    const engine = await open();
    const own = (): number => 4;
    Math.random = own;
    await engine.close();
    expect(Math.random).toBe(own);
    Math.random = real.random;
  });

  it("are given back when the launch fails", async () => {
    const backend = { kind: "broken", open: () => Promise.reject(new Error("no store")) };
    await expect(launch({ backend, workflows: [user], logger })).rejects.toThrow("no store");
    expect(current()).toEqual(real);
    await expect(open({ guard: "yes" as never })).rejects.toMatchObject({ code: "invalid_argument" });
  });
});
