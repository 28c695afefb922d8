// One turn of one contender, in a process of its own: opens it, warms it up, measures, says so, and closes it.
import { openPost } from "../children.js";
import { inFlightFor, stopwatch } from "../measure.js";
import { expected, widthMax, type Contender, type Ground } from "./contender.js";
import { openDbos } from "./dbos-contender.js";
import { openOpenWorkflow } from "./openworkflow-contender.js";
import { openPerdure } from "./perdure-contender.js";
import { openRestate } from "./restate-contender.js";
import type { ContenderName, SliceArgs, SliceFailure, SliceResult } from "./slice.js";

function open(name: ContenderName, ground: Ground): Promise<Contender> {
  switch (name) {
    case "perdure-postgres":
      return openPerdure("postgres", ground);
    case "perdure-sqlite":
      return openPerdure("sqlite", ground);
    case "dbos":
      return openDbos(ground);
    case "openworkflow":
      return openOpenWorkflow(ground);
    case "restate":
      return openRestate(ground);
    default:
      return name satisfies never;
  }
}

async function measure({ contender: name, workload, ground, warmUpMs, aloneMs, togetherMs }: SliceArgs): Promise<SliceResult> {
  const contender = await open(name, ground);
  let order = 0;
  const execute = async (): Promise<void> => {
    const input = order++;
    const result = await contender.execute(workload, input);
    if (result !== expected(workload, input)) throw new Error(`${name} gave ${String(result)} for ${workload}`);
  };
  await inFlightFor(warmUpMs, widthMax, execute);
  const alone = await inFlightFor(aloneMs, 1, execute);
  const elapsed = stopwatch(contender.serverPid);
  const together = await inFlightFor(togetherMs, widthMax, execute);
  const span = elapsed();
  await contender.close();
  return { type: "slice", alone, together, ...span };
}

if (process.send === undefined) throw new Error("this file is started by the benchmark, not by hand");
const send = process.send.bind(process);
const post = openPost(
  { on: (event, listener) => process.on(event, listener), send: (message, callback) => void send(message, undefined, undefined, callback) },
  "disconnect",
);
process.on("disconnect", () => process.exit(1));
try {
  post.tell(await measure(JSON.parse(process.argv[2] ?? "null") as SliceArgs));
} catch (error) {
  const failure: SliceFailure = { type: "failure", error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  post.tell(failure);
}
await post.hear("stop");
process.exit(0);
