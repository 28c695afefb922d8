import { connect, launch, stream, workflow } from "perdure";
import { median, stampMs } from "../measure.js";
import { sharedBackends } from "../sites.js";
import type { Role, Workload } from "../workload.js";

const tokens = stream<string>("tokens");
/** How many chunks the writer has under way before it waits. */
const window = 100;

const speak = workflow("speak", (ctx, count: number) =>
  ctx.step("say", async ({ write }) => {
    for (let first = 0; first < count; first += window) {
      const size = Math.min(window, count - first);
      await Promise.all(Array.from({ length: size }, (_, index) => write(tokens, `token ${first + index}`)));
    }
  }),
);

/** A stream that a step of one process writes and another process reads as it grows, from the start of the run to the end of the stream. */
export const streams: Workload = {
  name: "streams",
  title: "a stream written by one process and read by another",
  backends: sharedBackends,
  async run(bench) {
    const [runs, chunks] = bench.quick ? [1, 2_000] : [3, 10_000];
    const worker = bench.spawn("worker");
    await worker.hear("ready");
    const client = await connect({ backend: bench.openBackend() });
    const readMs: number[] = [];
    const firstMs: number[] = [];
    for (let run = 0; run < runs; run++) {
      const startMs = stampMs();
      const handle = await client.start(speak, chunks);
      let read = 0;
      for await (const token of handle.stream(tokens)) {
        if (read === 0) firstMs.push(stampMs() - startMs);
        if (token !== `token ${read}`) throw new Error(`chunk ${read} is "${token}"`);
        read++;
      }
      if (read !== chunks) throw new Error(`${read} of ${chunks} chunks were read`);
      readMs.push(stampMs() - startMs);
    }
    await client.close();
    await worker.stop();
    return { figures: { chunks, firstChunkMs: median(firstMs), readMs: median(readMs), chunksPerSec: (chunks / median(readMs)) * 1000 } };
  },
  roles: { worker: (...args) => worker(...args) },
};

const worker: Role = async (bench, post) => {
  const engine = await launch({ backend: bench.openBackend(), workflows: [speak] });
  post.tell({ type: "ready" });
  await post.hear("stop");
  await engine.close();
};
