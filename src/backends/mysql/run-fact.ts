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
  `INSERT INTO ${tables.fact} (${insertedNames}) VALUES ${runs
    .map((run) => `(${idColumns(run.workflowId)},0,${ownValues(run, names, nowSql)})`)
    .join(",")} ON DUPLICATE KEY UPDATE id = id`;

/** Makes a run the newest of its workflow id in the place of one that this transaction has locked. */
export async function insertLaterFact(
  work: Work,
  tables: Tables,
  names: Names,
  { before, run, createdAt }: { readonly before: RunKey; readonly run: NewRun; readonly createdAt: number },
): Promise<RunKey> {
  const answers = await work.run([
    `UPDATE ${tables.fact} SET superseded=id WHERE id=${before}`,
    `INSERT INTO ${tables.fact} (${insertedNames}) SELECT workflow_key,workflow_long,0,${ownValues(run, names, number(createdAt))} FROM ${tables.fact} WHERE id=${before}`,
  ]);
  return answers[1]?.insertId ?? 0;
}
