import { describe, expect, it } from "vitest";
import { median, percentile, rounded } from "../../bench/measure.js";
import { lineOf, summaryOf } from "../../bench/report.js";

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
  const good = { c1P50Ms: 4.2, transactionsPerWorkflow: 11, stepsPerSec: 50_000, shareOfCeiling: 0.5, nodeCpuMsPer1000: 20 };

  it("puts the goals of a workload beside its figures", () => {
    expect(summaryOf([lineOf("W2", "sqlite", { figures: good })])).toEqual({ summary: true, met: 5, missed: [], errors: 0 });
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
});
