import { stepResult } from "../values.js";
import { stepCount, type Contender, type Ground } from "./contender.js";
import { loadFrom } from "./packages.js";

type Body = (order: number) => Promise<number>;

interface Dbos {
  setConfig(config: {
    readonly name: string;
    readonly systemDatabaseUrl: string;
    readonly systemDatabasePoolSize: number;
    readonly logLevel: string;
  }): void;
  registerWorkflow(body: Body, options: { readonly name: string }): Body;
  runStep<T>(body: () => Promise<T>, options: { readonly name: string }): Promise<T>;
  launch(): Promise<void>;
  startWorkflow(registered: Body): (order: number) => Promise<{ getResult(): Promise<unknown> }>;
  shutdown(): Promise<void>;
}

/** Twice the default: the fastest of 10, 20 and 50. */
const poolSize = 20;

export async function openDbos({ postgresUrl, postgresPid, prefix }: Ground): Promise<Contender> {
  const { DBOS } = (await loadFrom(prefix, "@dbos-inc/dbos-sdk")) as { readonly DBOS: Dbos };
  const empty = DBOS.registerWorkflow(async (order) => order, { name: "empty" });
  const body: Body = async (order) => {
    let amount = 0;
    for (let index = 0; index < stepCount; index++) {
      amount += (await DBOS.runStep(async () => stepResult(order), { name: `step ${index}` })).amount;
    }
    return amount;
  };
  const steps = DBOS.registerWorkflow(body, { name: "ten-steps" });
  DBOS.setConfig({ name: "bench", systemDatabaseUrl: postgresUrl, systemDatabasePoolSize: poolSize, logLevel: "error" });
  await DBOS.launch();
  return {
    execute: async (workload, order) => (await DBOS.startWorkflow(workload === "W1" ? empty : steps)(order)).getResult(),
    serverPid: postgresPid,
    close: () => DBOS.shutdown(),
  };
}
