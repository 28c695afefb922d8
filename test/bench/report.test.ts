import { describe, expect, it } from "vitest";
import { median, percentile, rounded } from "../../bench/measure.js";
import { parseOptions } from "../../bench/options.js";
import { lineOf, summaryOf, withRatio } from "../../bench/report.js";
import { parseStat } from "../../bench/server-cpu.js";
import { withDatabase } from "../../bench/sites.js";

describe("percentile", () => {
  it("takes the nearest rank, whatever the order of the samples", () => {
    const samples = [9, 1, 8, 2, 7, 3, 6, 4, 5, 10];
    expect(median(samples)).toBe(5);
    expect(percentile(samples, 0.99)).toBe(10);
    expect(percentile(samples, 0)).toBe(1);
    expect(percentile([3], 0.5)).toBe(3);
    expect(() => percentile([], 0.5)).toThrow("no samples");
  });
});

describe("rounded", () => {
  it("keeps four significant digits and all whole numbers", () => {
    expect([0.012345, 1.23456, 12345.6, 12345, 0].map(rounded)).toEqual([0.01235, 1.235, 12346, 12345, 0]);
  });
});

describe("lines and their summary", () => {
  const good = {
    c1P50Ms: 4.2,
    transactionsPerWorkflow: 11,
    stepsPerSec: 50_000,
    shareOfCeiling: 0.5,
    nodeCpuMsPer1000: 20,
    engineCpuMsPer1000: 12,
  };

  it("puts the goals of a workload beside its figures", () => {
    expect(summaryOf([lineOf("W2", "sqlite", { figures: good })])).toEqual({ summary: true, met: 6, missed: [], errors: 0 });
    const line = lineOf("W2", "sqlite", { figures: { ...good, transactionsPerWorkflow: 11.02 } });
    expect(line.goals?.["transactionsPerWorkflow"]).toEqual({ value: 11.02, limit: 11, rule: "exactly", met: false });
    expect(summaryOf([line]).missed).toEqual(["W2.sqlite.transactionsPerWorkflow"]);
  });

  it("counts a figure that is missing as a goal that was missed", () => {
    const { stepsPerSec: _, ...rest } = good;
    expect(summaryOf([lineOf("W2", "sqlite", { figures: rest })]).missed).toEqual(["W2.sqlite.stepsPerSec"]);
  });

  it("counts what went wrong", () => {
    expect(summaryOf([lineOf("W7", "sqlite", { figures: {}, errors: ["2 steps never ran"] })]).errors).toBe(1);
    expect(lineOf("W7", "sqlite", { figures: {}, errors: [] })).not.toHaveProperty("errors");
  });

  it("has other goals for another database", () => {
    const line = lineOf("W2", "postgres", { figures: { ...good, stepsPerSec: 25_000, serverCpuMsPer1000: 26 } });
    expect(line.goals?.["stepsPerSec"]).toEqual({ value: 25_000, limit: 20_000, rule: "at least", met: true });
    expect(summaryOf([line]).missed).toEqual(["W2.postgres.serverCpuMsPer1000"]);
  });

  it("compares MariaDB with PostgreSQL where both were measured", () => {
    const measurement = { figures: { transactionsPerWorkflow: 11, stepsPerSec: 12_000 } };
    const postgres = lineOf("W2", "postgres", { figures: { ...good, stepsPerSec: 30_000 } });
    const other = lineOf("W1", "postgres", { figures: { stepsPerSec: 1 } });
    const beside = withRatio("W2", "mysql", measurement, [other, postgres]);
    expect(beside.figures["shareOfPostgres"]).toBe(0.4);
    expect(summaryOf([lineOf("W2", "mysql", beside)]).missed).toEqual(["W2.mysql.shareOfPostgres"]);
    const alone = withRatio("W2", "mysql", measurement, [other]);
    expect(summaryOf([lineOf("W2", "mysql", alone)])).toMatchObject({ met: 2, missed: [] });
    expect(withRatio("W2", "sqlite", measurement, [postgres])).toBe(measurement);
  });
});

describe("the time of a server's processes", () => {
  it("is read from behind the name, which may hold anything", () => {
    const stat = "42 (postgres: a) b (c) S 7 42 42 0 -1 4194560 900 1200 0 0 150 25 40 5 20 0 1 0 1000 230000000 5000";
    expect(parseStat(stat)).toEqual({ parent: 7, ticks: 220 });
  });
});

describe("a database of a server", () => {
  it("takes the place of the one in the URL, whether the host is a name or a socket's folder", () => {
    expect(withDatabase("postgresql://u:p@/postgres?host=%2Ftmp%2Fx", "one")).toBe("postgresql://u:p@/one?host=%2Ftmp%2Fx");
    expect(withDatabase("postgres://u:p@db:5432/app", "one")).toBe("postgres://u:p@db:5432/one");
    expect(withDatabase("postgres://u@db?sslmode=require", "one")).toBe("postgres://u@db/one?sslmode=require");
  });
});

describe("the command line", () => {
  it("takes backends and workloads one by one or as lists", () => {
    const options = parseOptions(["--backend", "postgres,mysql", "--workload", "W1", "--workload", "W2,timers", "--quick"]);
    expect(options).toMatchObject({ backends: ["postgres", "mysql"], workloads: ["W1", "W2", "timers"], quick: true, json: false });
    expect(parseOptions([])).toMatchObject({ backends: [], workloads: [] });
    expect(() => parseOptions(["--backend", "oracle"])).toThrow('unknown backend "oracle"');
    expect(() => parseOptions(["--sleepers", "0"])).toThrow("--sleepers must be a whole number above 0");
  });
});
