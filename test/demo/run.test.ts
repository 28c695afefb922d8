import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunInfo } from "perdure";
import { afterEach, describe, expect, it } from "vitest";
import { parseOptions } from "../../demo/options.js";
import { openEffectLog, readEffects } from "../../demo/run/effect-log.js";
import { openProgress, progressLine } from "../../demo/run/progress.js";
import { reviewed } from "../../demo/run/pipeline.js";
import { seededRandom } from "../../demo/run/random.js";
import { startReviewer } from "../../demo/run/reviewer.js";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

describe("the options", () => {
  it("have defaults, and a seed that is drawn if none is given", () => {
    expect(parseOptions([], () => 42)).toEqual({ seed: 42, kills: 10, paceMs: 150, out: ".perdure/demo", help: false });
    expect(parseOptions(["--seed", "7", "--kills=8"], () => 42)).toMatchObject({ seed: 7, kills: 8 });
  });

  it.each([["--kills", "many"], ["--seed", "-1"], ["--pace", "1e3"], ["--nonsense"]])("refuse %s %s", (...args) => {
    expect(() => parseOptions(args, () => 1)).toThrow();
  });
});

describe("the effect log", () => {
  it("writes a start and an end for each body, or a failure, and gives each execution its own id", async () => {
    const folder = mkdtempSync(join(tmpdir(), "perdure-demo-"));
    folders.push(folder);
    let clock = 0;
    const log = openEffectLog(folder, 7, () => (clock += 1));
    const info = { run: "r", kind: "step", body: "b", key: "k", attempt: 1 } as const;
    expect(await log.around(info, async () => "x")).toEqual({ by: "7#1", value: "x" });
    await expect(log.around({ ...info, saw: ["7#1"] }, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    log.close();
    const { effects, torn } = readEffects(folder);
    expect(torn).toBe(0);
    expect(effects.map(({ phase, execution, at }) => [phase, execution, at])).toEqual([
      ["start", "7#1", 1],
      ["end", "7#1", 2],
      ["start", "7#2", 3],
      ["failed", "7#2", 4],
    ]);
    expect(effects[2]?.saw).toEqual(["7#1"]);
  });
});

it("the same seed gives the same numbers, another seed others", () => {
  const draw = (seed: number) => seededRandom(seed).shuffle([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(draw(3)).toEqual(draw(3));
  expect(draw(3)).not.toEqual(draw(4));
  expect(draw(3).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

describe("progress", () => {
  const runs = [{ status: "completed" }, { status: "waiting" }] as RunInfo[];
  const progress = { total: 4, started: 2, runs, kills: 3, elapsedMs: 4200 };

  it("is one line", () => {
    expect(progressLine(progress, 8)).toBe("██░░░░░░ 1/4 files · 1 waiting · 3 kills · 4 s");
  });

  it("is redrawn on a terminal and written now and then elsewhere", () => {
    const written: string[] = [];
    const view = openProgress({ isTTY: false, write: (text) => written.push(text) }, 3000);
    for (const elapsedMs of [0, 1000, 2999, 3000]) view.update({ ...progress, elapsedMs });
    expect(written).toHaveLength(2);
    const drawn: string[] = [];
    const live = openProgress({ isTTY: true, columns: 20, write: (text) => drawn.push(text) }, 3000);
    live.update(progress);
    live.say("hello");
    const clear = "\r\u001B[2K";
    expect(drawn[0]?.startsWith(clear)).toBe(true);
    expect(drawn[0]).toHaveLength(clear.length + 19);
    expect(drawn[1]).toContain("hello\n");
  });
});

describe("the reviewer", () => {
  const waiting = (id: string, historyLength = 1) => ({ id, status: "sleeping", historyLength }) as RunInfo;
  const meet = (now: number, name = reviewed.name) => {
    const [sent, looks]: [string[], string[]] = [[], []];
    const look = async (id: string) => ({ waitingFor: [{ kind: "message", name, until: new Date(10_000) }], looks: looks.push(id) });
    const client = { get: (id: string) => ({ send: async () => void sent.push(id), describe: () => look(id) }) };
    const reviewer = startReviewer(client as unknown as Parameters<typeof startReviewer>[0], {
      random: seededRandom(1),
      now: () => now,
      pause: async () => undefined,
    });
    return { reviewer, sent, looks };
  };

  it("answers each question once, and leaves every fourth on the desk", async () => {
    const { reviewer, sent } = meet(0);
    const questions = ["a", "b", "c", "d"].map((id) => waiting(id));
    await reviewer.notice(questions);
    await reviewer.notice(["a", "b", "c", "d"].map((id) => waiting(id, 2)));
    await reviewer.settled();
    expect(sent).toEqual(["a", "b", "c"]);
    expect(reviewer.answers.find(({ run }) => run === "d")?.decision).toBe("ignored");
    expect(reviewer.answers).toHaveLength(4);
  });

  it("looks again only at what has moved, and takes no other wait for a question", async () => {
    const { reviewer, looks } = meet(0, "other");
    for (const length of [1, 1, 2]) await reviewer.notice([waiting("a", length), { ...waiting("b", length), status: "running" }]);
    expect(looks).toEqual(["a", "a"]);
    expect(reviewer.answers).toEqual([]);
  });

  it("does not answer in the last moment", async () => {
    const { reviewer, sent } = meet(9500);
    await reviewer.notice([waiting("a")]);
    await reviewer.settled();
    expect(sent).toEqual([]);
    expect(reviewer.answers).toEqual([{ run: "a", decision: "ignored", sentAt: undefined }]);
  });
});
