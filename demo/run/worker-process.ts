// One of the two worker processes: nothing but `launch` and the definitions. It is killed without warning, and started again.
import { setTimeout as pause } from "node:timers/promises";
import { launch } from "perdure";
import { sqlite } from "perdure/sqlite";
import { findDataset } from "../data/dataset.js";
import { openEffectLog } from "./effect-log.js";
import { makePipeline } from "./pipeline.js";
import type { WorkerReady, WorkerSettings } from "./worker-pool.js";

const settings = JSON.parse(process.argv[2] ?? "{}") as WorkerSettings;

const log = openEffectLog(settings.effectsFolder, process.pid, () => Date.now());
const { check, profile } = makePipeline({ dataset: findDataset(), log, ...settings });
const engine = await launch({ backend: sqlite(settings.database), workflows: [check], activities: [profile] });

let stopping = false;
async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  await engine.close({ grace: "2s" });
  log.close();
  process.exit(0);
}

process.on("SIGTERM", () => void stop());
// Ctrl-C in a terminal goes to every process of the group; the driver decides here.
process.on("SIGINT", () => undefined);
// The driver is gone, however it ended: do not outlive it.
process.on("disconnect", () => {
  void stop();
  void pause(3000).then(() => process.exit(1));
});

const ready: WorkerReady = { ready: true, workerId: engine.workerId };
process.send?.(ready);
