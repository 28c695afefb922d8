import { stepResult } from "../values.js";
import { stepCount, widthMax, type Contender, type Ground } from "./contender.js";
import { loadFrom } from "./packages.js";

interface Step {
  run<T>(options: { readonly name: string }, body: () => Promise<T>): Promise<T>;
}
type Body = (scope: { readonly input: number; readonly step: Step }) => Promise<number>;

interface OpenWorkflow {
  defineWorkflow(options: { readonly name: string }, body: Body): { run(input: number): Promise<{ result(): Promise<unknown> }> };
  newWorker(options: { readonly concurrency: number }): { start(): Promise<void>; stop(): Promise<void> };
}
interface Backend {
  stop(): Promise<void>;
}

export async function openOpenWorkflow({ postgresUrl, postgresPid, prefix }: Ground): Promise<Contender> {
  const main = (await loadFrom(prefix, "openworkflow")) as { readonly OpenWorkflow: new (options: { backend: Backend }) => OpenWorkflow };
  const { BackendPostgres } = (await loadFrom(prefix, "openworkflow/postgres")) as {
    readonly BackendPostgres: { connect(url: string): Promise<Backend> };
  };
  const backend = await BackendPostgres.connect(postgresUrl);
  const client = new main.OpenWorkflow({ backend });
  const empty = client.defineWorkflow({ name: "empty" }, async ({ input }) => input);
  const steps = client.defineWorkflow({ name: "ten-steps" }, async ({ input, step }) => {
    let amount = 0;
    for (let index = 0; index < stepCount; index++) {
      amount += (await step.run({ name: `step ${index}` }, async () => stepResult(input))).amount;
    }
    return amount;
  });
  const worker = client.newWorker({ concurrency: widthMax });
  await worker.start();
  return {
    execute: async (workload, order) => (await (workload === "W1" ? empty : steps).run(order)).result(),
    serverPid: postgresPid,
    async close() {
      await worker.stop();
      await backend.stop();
    },
  };
}
