// One of the two workers of a trial: launches, says so, and works until it is told to stop, killed, or left alone.
import { launch } from "perdure";
import { openPost } from "../bench/children.js";
import { backendAt } from "../bench/sites.js";
import { openEffectLog } from "./effect-log.js";
import { idOf, tenSteps } from "./ten-steps.js";
import type { Begin, WorkerSettings } from "./workers.js";

const { place, effectFile, leaseMs } = JSON.parse(process.argv[2] ?? "null") as WorkerSettings;
if (process.send === undefined) throw new Error("this file is started by the failover trials, not by hand");
const send = process.send.bind(process);
const post = openPost(
  { on: (event, listener) => process.on(event, listener), send: (message, callback) => void send(message, undefined, undefined, callback) },
  "disconnect",
);
// The trials are over, however they ended.
process.on("disconnect", () => process.exit(1));

const say = (text: string): void => void process.stderr.write(`worker ${process.pid}: ${text}\n`);
const workflow = tenSteps({ note: openEffectLog(effectFile), gate: post.hear("go").then(() => undefined) });
const engine = await launch({
  backend: backendAt(place),
  workflows: [workflow],
  ...(leaseMs === undefined ? {} : { lease: leaseMs }),
  logger: {
    debug: () => undefined,
    info: () => undefined,
    warn(message) {
      if (message.includes("lease was lost")) post.tell({ type: "lease-lost" });
      else say(message);
    },
    error: say,
  },
});
post.onEach<Begin>("begin", ({ inputs }) => {
  for (const input of inputs) void engine.start(workflow, input, { id: idOf(input) });
});
post.tell({ type: "ready" });
await post.hear("stop");
await engine.close({ grace: "2s" });
process.exit(0);
