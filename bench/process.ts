// The entry of every process that the benchmark starts: a workload itself, or a role of it (a worker, a client).
import type { Backend } from "perdure";
import { openPost, spawnProcess, type Message } from "./children.js";
import { nodeOptions, processEntry, type ProcessArgs, type Settings } from "./process-args.js";
import { backendAt } from "./sites.js";
import type { Bench } from "./workload.js";
import { findWorkload } from "./workloads/index.js";

function benchOf(workload: string, settings: Settings): Bench {
  const { place } = settings;
  let inMemory: Backend | undefined;
  return {
    ...settings,
    backend: place.backend,
    serverPid: settings.serverPid,
    openBackend: () => (place.backend === "memory" ? (inMemory ??= backendAt(place)) : backendAt(place)),
    spawn: (role, input = { type: "none" }) =>
      spawnProcess(processEntry, { workload, role, input, settings } satisfies ProcessArgs, nodeOptions(settings)),
  };
}

const { workload: name, role, input, settings } = JSON.parse(process.argv[2] ?? "null") as ProcessArgs;
if (process.send === undefined) throw new Error("this file is started by the benchmark, not by hand");
const send = process.send.bind(process);
const post = openPost(
  { on: (event, listener) => process.on(event, listener), send: (message, callback) => void send(message, undefined, undefined, callback) },
  "disconnect",
);
// A process whose parent died must not go on working on files that are being removed.
process.on("disconnect", () => process.exit(1));

const workload = findWorkload(name);
const bench = benchOf(name, settings);
if (role === undefined) {
  try {
    post.tell({ type: "measured", measurement: await workload.run(bench) } as Message);
  } catch (error) {
    console.error(error);
    post.tell({ type: "measured", measurement: { figures: {}, errors: [String(error)] } } as Message);
  }
} else {
  const play = workload.roles?.[role];
  if (play === undefined) throw new Error(`${name} has no role "${role}"`);
  await play(bench, post, input ?? { type: "none" });
}
process.disconnect();
