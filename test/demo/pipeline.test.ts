// The demo's workflow on real files, on the memory backend and without kills: what it makes must satisfy its own proof.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Engine, launch } from "perdure";
import { memory } from "perdure/memory";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findDataset } from "../../demo/data/dataset.js";
import type { RunEvidence } from "../../demo/proof/evidence.js";
import { prove } from "../../demo/proof/prove.js";
import { openEffectLog, readEffects } from "../../demo/run/effect-log.js";
import { makePipeline, reviewed } from "../../demo/run/pipeline.js";

let folder: string;
let engine: Engine;
let pipeline: ReturnType<typeof makePipeline>;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "perdure-demo-"));
  const [effects, workFolder, pagesFolder] = ["effects", "work", "files"].map((name) => join(folder, name)) as [string, string, string];
  for (const path of [effects, workFolder, pagesFolder]) mkdirSync(path);
  const log = openEffectLog(effects, process.pid, () => Date.now());
  pipeline = makePipeline({ dataset: findDataset(), log, workFolder, pagesFolder, paceMs: 0 });
  engine = await launch({ backend: memory(), workflows: [pipeline.check], activities: [pipeline.profile] });
});

afterEach(async () => {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
});

const start = (file: string, reviewWithinMs = 10_000) => engine.start(pipeline.check, { file, reviewWithinMs }, { id: file });

describe("the pipeline", () => {
  it("satisfies its own proof on files of all kinds, answered and not", async () => {
    const clean = [
      "stocks.csv",
      "unemployment.tsv",
      "barley.json",
      "gimp.png",
      "flights-200k.arrow",
      "volcano.json",
      "londonBoroughs.json",
    ];
    const handles = await Promise.all([
      ...clean.map((file) => start(file)),
      start("monarchs.json"),
      start("udistrict.json"),
      start("weekly-weather.json", 50),
    ]);
    await engine.get("monarchs.json").send(reviewed, { decision: "approved", by: "Robin" });
    await engine.get("udistrict.json").send(reviewed, { decision: "rejected", by: "Robin" });
    const runs = await Promise.all(
      handles.map(async (handle): Promise<RunEvidence> => {
        const result = await handle.result();
        const { status, unreadMessages } = await handle.describe();
        return { id: handle.id, status, unreadMessages, result, history: await handle.history() };
      }),
    );
    const answers: Readonly<Record<string, "approved" | "rejected">> = { "monarchs.json": "approved", "udistrict.json": "rejected" };
    const expected = runs.map(({ id }) => ({ id, file: id, answer: answers[id] }));
    const evidence = { ...readEffects(join(folder, "effects")), kills: [], expected, runs };
    const proof = prove(evidence, { killsMin: 0, takeoverGoalMs: 1000, takeoverMaxMs: 5000 });
    expect(proof.claims.filter(({ holds }) => !holds)).toEqual([]);
    expect(proof.reruns).toEqual([]);
    expect(runs.map(({ result }) => result?.verdict)).toEqual([...clean.map(() => "clean"), "approved", "rejected", "expired"]);
    expect(readFileSync(join(folder, "files", "udistrict.json.md"), "utf8")).toContain("rejected by a person (Robin)");
  });
});
