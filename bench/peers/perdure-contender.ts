import { join } from "node:path";
import { launch, workflow } from "perdure";
import { postgres } from "perdure/postgres";
import { sqlite } from "perdure/sqlite";
import { stepResult } from "../values.js";
import { stepCount, type Contender, type Ground } from "./contender.js";

const empty = workflow("empty", async (_ctx, order: number) => order);

const steps = workflow("ten-steps", async (ctx, order: number) => {
  let amount = 0;
  for (let index = 0; index < stepCount; index++) amount += (await ctx.step(`step ${index}`, () => stepResult(order))).amount;
  return amount;
});

export async function openPerdure(kind: "postgres" | "sqlite", { postgresUrl, postgresPid, folder }: Ground): Promise<Contender> {
  const backend = kind === "postgres" ? postgres(postgresUrl) : sqlite(join(folder, "perdure.db"));
  const engine = await launch({ backend, workflows: [empty, steps] });
  return {
    execute: (workload, order) => engine.execute(workload === "W1" ? empty : steps, order),
    serverPid: kind === "postgres" ? postgresPid : undefined,
    close: () => engine.close(),
  };
}
