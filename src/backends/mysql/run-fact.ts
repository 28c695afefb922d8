import type { NewRun, RunKey } from "../../backend/index.js";
import type { Work } from "./lanes.js";
import type { Names } from "./names.js";
import type { Tables } from "./schema.js";
import type { Row } from "./session.js";
import {
  idColumns,
  idOf,
  nowSql,
  nullableIdColumns,
  nullableIdOf,
  nullableNumberOf,
  nullableTextOf,
  number,
  numberOf,
  text,
} from "./sql.js";

/** The part of a run that never changes. */
export interface RunFact {
  readonly workflowId: string;
  readonly runId: string;
  /** Id of the name. */
  readonly name: number;
  readonly version: string | null;
  readonly engineVersion: number;
  readonly inputHash: string;
  readonly createdAt: number;
  readonly deadlineAt: number | null;
  readonly parentRunId: string | null;
  readonly options: string | null;
}

const factNames = [
  "workflow_key",
  "workflow_long",
  "run_key",
  "run_long",
  "name",
  "version",
  "engine_version",
  "input_hash",
  "created_at",
  "deadline_at",
  "parent_key",
  "parent_long",
  "options",
];
export const factColumns = factNames.map((name) => `f.${name}`).join(",");
export const factWidth = factNames.length;

export function factOf(columns: Row): RunFact {
  const [workflowKey, workflowLong, runKey, runLong, name, version, engineVersion, inputHash, createdAt, deadlineAt] = columns;
  return {
    workflowId: idOf(workflowKey, workflowLong),
    runId: idOf(runKey, runLong),
    name: numberOf(name),
    version: nullableTextOf(version),
    engineVersion: numberOf(engineVersion),
    inputHash: String(inputHash),
    createdAt: numberOf(createdAt),
    deadlineAt: nullableNumberOf(deadlineAt),
    parentRunId: nullableIdOf(columns[10], columns[11]),
    options: nullableTextOf(columns[12]),
  };
}

const insertedNames =
  "workflow_key,workflow_long,superseded,run_key,run_long,name,version,engine_version,input_hash,created_at,deadline_at,parent_key,parent_long,options";

const ownValues = (run: NewRun, names: Names, createdAt: string): string =>
  `${idColumns(run.runId)},${names.idOf(run.name)},${text(run.version)},${run.engineVersion},${text(run.inputHash)},${createdAt},` +
  `${number(run.deadlineAt)},${nullableIdColumns(run.parentRunId)},${text(run.options)}`;

/** Makes runs the newest of their workflow ids where those have none; what is there stays as it is. */
export const insertFirstFacts = (tables: Tables, names: Names, runs: readonly NewRun[]): string =>
  `INSERT INTO ${tables.fact} (${insertedNames}) VALUES ${runs.map((run) => firstValues(run, names, nowSql)).join(",")} ON DUPLICATE KEY UPDATE id = id`;

const firstValues = (run: NewRun, names: Names, createdAt: string): string =>
  `(${idColumns(run.workflowId)},0,${ownValues(run, names, createdAt)})`;

/** Makes the facts that only the decisions of a batch ask for; each gets a key above all that there are. */
export interface LaterFacts {
  /** Of a run that is to be the newest of its workflow id in the place of one that the batch has locked. */
  supersede(before: RunKey, run: NewRun, createdAt: number): Promise<RunKey>;
  /** Of a run whose fact the batch has made, and whose key has to be above those that it has made since. */
  renew(key: RunKey, run: NewRun, createdAt: number): Promise<RunKey>;
}

export function laterFacts(work: Work, tables: Tables, names: Names): LaterFacts {
  const insert = async (before: string, values: string): Promise<RunKey> => {
    const answers = await work.run([before, `INSERT INTO ${tables.fact} (${insertedNames}) ${values}`]);
    return answers[1]?.insertId ?? 0;
  };
  return {
    supersede: (before, run, createdAt) =>
      insert(
        `UPDATE ${tables.fact} SET superseded=id WHERE id=${before}`,
        `SELECT workflow_key,workflow_long,0,${ownValues(run, names, number(createdAt))} FROM ${tables.fact} WHERE id=${before}`,
      ),
    renew: (key, run, createdAt) =>
      insert(`DELETE FROM ${tables.fact} WHERE id=${key}`, `VALUES ${firstValues(run, names, number(createdAt))}`),
  };
}
