// The simulator as a program: seeds that once failed, fresh ones, and proof that it notices missing defences.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const corpus = JSON.parse(readFileSync(new URL("corpus.json", import.meta.url), "utf8")) as {
  readonly seeds: readonly { readonly seed: number }[];
};

interface Answer {
  readonly code: number | null;
  readonly summary: Record<string, unknown>;
  readonly said: string;
}

function simulate(...args: readonly string[]): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["build/sim/main.js", "--json", ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let [out, said] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
    child.on("error", reject).on("close", (code) => {
      const last = out.trimEnd().split("\n").at(-1) ?? "";
      if (!last.startsWith("{")) reject(new Error(`no summary: ${said}`));
      else resolve({ code, said, summary: JSON.parse(last) as Record<string, unknown> });
    });
  });
}

describe("the simulator", () => {
  it("finds nothing any more under the seeds that once failed", { timeout: 60_000 }, async () => {
    const { code, summary, said } = await simulate("--corpus");
    expect(said).not.toContain("does not hold");
    expect(summary).toMatchObject({ schedules: corpus.seeds.length, violations: 0 });
    expect(code).toBe(0);
  });

  it("finds nothing under other seeds, and injects faults of many kinds meanwhile", { timeout: 60_000 }, async () => {
    const { code, summary, said } = await simulate("--seeds", "100", "--seed", "5000");
    expect(said).not.toContain("does not hold");
    expect(summary).toMatchObject({ schedules: 100, violations: 0 });
    expect(Object.values(summary["faults"] as Record<string, number>).filter((count) => count > 0).length).toBeGreaterThan(10);
    expect(code).toBe(0);
  });

  it("goes the same way twice, and another way under another seed", async () => {
    const [one, same, other] = await Promise.all([
      simulate("--seeds", "1", "--seed", "7", "--trace"),
      simulate("--seeds", "1", "--seed", "7", "--trace"),
      simulate("--seeds", "1", "--seed", "8", "--trace"),
    ]);
    const events = (answer: Answer): string =>
      answer.said
        .split("\n")
        .filter((line) => /^ *\d+\.\d\d /.test(line))
        .join("\n");
    expect(events(one).length).toBeGreaterThan(1000);
    expect(events(one)).toBe(events(same));
    expect(events(one)).not.toBe(events(other));
  });

  it("notices when a defence is missing", { timeout: 300_000 }, async () => {
    const { code, summary, said } = await simulate("--mutants", "--seeds", "2000");
    expect(said).not.toContain("NOT CAUGHT");
    expect(summary["caught"]).toBe(summary["total"]);
    expect(summary["total"]).toBeGreaterThanOrEqual(27);
    expect(code).toBe(0);
  });
});
