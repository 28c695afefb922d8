import { describe, expect, it } from "vitest";
import { parsePeerOptions } from "../../bench/peers/options.js";
import type { SliceResult } from "../../bench/peers/slice.js";
import { jsonOf, tableOf, textOf } from "../../bench/peers/table.js";

/** A turn of a second in which so many workflows ended. */
const turn = (workflows: number, cpuMs = 100, serverCpuMs: number | undefined = 100): SliceResult => ({
  type: "slice",
  alone: [1, 2, 3],
  together: Array.from({ length: workflows }, () => 50),
  wallMs: 1000,
  cpuMs,
  serverCpuMs,
});

describe("the table of peers", () => {
  it("compares within each round, and gives the median of the rounds", () => {
    // The second round met a neighbour that took nine tenths of the machine from both.
    const { ratio, sqliteRatio, goals } = tableOf("W1", [
      { "perdure-postgres": turn(3000), "perdure-sqlite": turn(6000), dbos: turn(100) },
      { "perdure-postgres": turn(300), "perdure-sqlite": turn(600), dbos: turn(10) },
      { "perdure-postgres": turn(3100), "perdure-sqlite": turn(6000), dbos: turn(100) },
    ]);
    expect(ratio).toEqual({ dbos: 30 });
    expect(sqliteRatio).toEqual({ dbos: 60 });
    expect(goals).toEqual({ dbos: { value: 30, limit: 20, met: true } });
  });

  it("counts steps where the workflow has steps, and CPU by what was done", () => {
    const { contenders, cpuRatio, goals } = tableOf("W2", [{ "perdure-postgres": turn(200), restate: turn(50, 300, 200) }]);
    expect(contenders["perdure-postgres"]).toEqual({
      c1P50Ms: 2,
      stepsPerSec: 2000,
      p50Ms: 50,
      p99Ms: 50,
      nodeCpuMsPer1000: 50,
      serverCpuMsPer1000: 50,
    });
    expect(cpuRatio).toEqual({ restate: 10 });
    expect(goals).toEqual({ restate: { value: 4, limit: 6, met: false } });
    expect(textOf("W2", tableOf("W2", [{ "perdure-postgres": turn(200), restate: turn(50) }]))).toContain("MISSED: at least 6 × restate");
  });

  it("has a gap where a contender failed, and no server's time where there is no server", () => {
    const table = tableOf("W1", [{ "perdure-sqlite": { ...turn(1000), serverCpuMs: undefined }, dbos: turn(100) }, { dbos: turn(100) }]);
    expect(table.contenders["perdure-sqlite"]).not.toHaveProperty("serverCpuMsPer1000");
    expect(table).toMatchObject({ ratio: {}, sqliteRatio: { dbos: 10 }, cpuRatio: {}, goals: {} });
  });

  it("is one JSON object by workload and contender, with the ratios beside them", () => {
    const table = tableOf("W1", [{ "perdure-postgres": turn(3000), dbos: turn(100) }]);
    expect(JSON.parse(jsonOf({ W1: table }))).toMatchObject({
      W1: { "perdure-postgres": { workflowsPerSec: 3000 }, dbos: { workflowsPerSec: 100 }, ratio: { dbos: 30 } },
    });
  });
});

describe("the command line", () => {
  it("takes lists, keeps the order of turns, and refuses what there is not", () => {
    expect(parsePeerOptions(["--workload", "W2", "--contender", "dbos,perdure-postgres", "--json"])).toEqual({
      workloads: ["W2"],
      contenders: ["perdure-postgres", "dbos"],
      rounds: 3,
      json: true,
    });
    expect(parsePeerOptions([]).workloads).toEqual(["W1", "W2"]);
    expect(() => parsePeerOptions(["--workload", "W3"])).toThrow('there is no workload "W3"');
    expect(() => parsePeerOptions(["--rounds", "0"])).toThrow("--rounds takes a whole number");
  });
});
