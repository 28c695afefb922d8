import { connect, launch, message, workflow, type Client } from "perdure";
import { delay, median, percentile, stampMs } from "../measure.js";
import { backendNames } from "../sites.js";
import type { Role, Workload } from "../workload.js";

const ping = message<number>("ping");

/** Gives the time at which the step after the message began: the run has woken and its wake-up is stored. */
const waiting = workflow("waiting", async (ctx) => {
  await ctx.receive(ping);
  return await ctx.step("wake", () => stampMs());
});

const limitMs = 15_000;

/**
 * Between two messages. Without a pause the processors are awake, as they are where others work as well; after one, as between messages of people, each of the
 * four or five processes that pass a message on has to be woken first, which on a virtual machine takes longer than what it then does.
 */
const pauses = { none: 0, restMs: 10 } as const;

/** W6: from a message's send to what the run does because of it. */
export const messages: Workload = {
  name: "W6",
  title: "message to wake-up, within a process and across two",
  backends: backendNames,
  async run(bench) {
    const [warmUp, total] = bench.quick ? [20, 60] : [50, 300];
    const engine = await launch({ backend: bench.openBackend(), workflows: [waiting] });
    await sample(engine, warmUp, pauses.none, "warm-up");
    const near = await sample(engine, total, pauses.none, "near");
    const rested = await sample(engine, total, pauses.restMs, "rested");
    await engine.close();
    const figures = {
      wakeP50Ms: median(near.wakes),
      wakeP99Ms: percentile(near.wakes, 0.99),
      answerP50Ms: median(near.answers),
      restedWakeP50Ms: median(rested.wakes),
    };
    if (bench.backend === "memory") return { figures };
    const worker = bench.spawn("worker");
    await worker.hear("ready");
    const client = await connect({ backend: bench.openBackend() });
    await sample(client, warmUp, pauses.none, "far-warm-up");
    const far = await sample(client, total, pauses.none, "far");
    const farRested = await sample(client, total, pauses.restMs, "far-rested");
    await client.close();
    await worker.stop();
    return {
      figures: {
        ...figures,
        acrossWakeP50Ms: median(far.wakes),
        acrossWakeP99Ms: percentile(far.wakes, 0.99),
        acrossAnswerP50Ms: median(far.answers),
        acrossRestedWakeP50Ms: median(farRested.wakes),
      },
    };
  },
  roles: { worker: (...args) => worker(...args) },
};

async function sample(
  client: Client,
  total: number,
  pauseMs: number,
  prefix: string,
): Promise<{ readonly wakes: readonly number[]; readonly answers: readonly number[] }> {
  const wakes: number[] = [];
  const answers: number[] = [];
  const handles = await Promise.all(
    Array.from({ length: total }, (_, index) => client.start(waiting, undefined, { id: `${prefix}-${index}` })),
  );
  const last = handles.at(-1);
  while (last !== undefined && (await last.describe()).status !== "waiting") await delay(20);
  const endMs = stampMs() + limitMs;
  for (const handle of handles) {
    const startMs = stampMs();
    // Where processes hear of one another by polling only, each takes up to a second: fewer of them tell as much.
    if (startMs > endMs) break;
    await handle.send(ping, 1);
    const wokenMs = await handle.result();
    answers.push(stampMs() - startMs);
    wakes.push(wokenMs - startMs);
    await delay(pauseMs);
  }
  return { wakes, answers };
}

const worker: Role = async (bench, post) => {
  const engine = await launch({ backend: bench.openBackend(), workflows: [waiting] });
  post.tell({ type: "ready" });
  await post.hear("stop");
  await engine.close();
};
