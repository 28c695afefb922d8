import type { NewRun, RunKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";
import type { Names } from "./names.js";

/** The part of runs that never changes. */
export interface FactTable {
  /** False if this generation of the workflow id, or the run id, is taken. */
  insert(key: RunKey, run: NewRun, generation: number, createdAt: number): boolean;
  runIdOf(key: RunKey): string;
  /** Which run of its workflow id it is, from 1. */
  generationOf(key: RunKey): number;
}

export function factTable(connection: SqliteConnection, names: Names): FactTable {
  const insert =
    connection.prepare(`INSERT INTO run_fact (key, workflow_id, generation, run_id, name, version, engine_version, input_hash, created_at,
    deadline_at, parent_run_id, options) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`);
  const read = connection.prepare("SELECT run_id AS runId, generation FROM run_fact WHERE key = ?");
  const factsOf = (key: RunKey): { readonly runId: string; readonly generation: number } => {
    const facts = read.get<{ runId: string; generation: number }>([key]);
    if (facts === undefined) throw new Error(`The facts of run ${key} are missing.`);
    return facts;
  };
  return {
    insert(key, run, generation, createdAt) {
      const { workflowId, runId, version, engineVersion, inputHash, deadlineAt, parentRunId, options } = run;
      const ids = [key, workflowId, generation, runId, names.ensure(run.name)];
      return insert.run([...ids, version, engineVersion, inputHash, createdAt, deadlineAt, parentRunId, options]) === 1;
    },
    runIdOf: (key) => factsOf(key).runId,
    generationOf: (key) => factsOf(key).generation,
  };
}
