import { parseArgs } from "node:util";
import { backendNames, type BackendName } from "./sites.js";

export interface Options {
  /** Empty for all that can be had. */
  readonly backends: readonly BackendName[];
  /** Names of workloads; empty for all. */
  readonly workloads: readonly string[];
  readonly quick: boolean;
  /** JSON lines on standard output instead of text. */
  readonly json: boolean;
  /** Exit code 1 also when a goal is missed. */
  readonly strict: boolean;
  readonly sleepers: number;
  /** Where the database files go; a folder below it is made and removed again. */
  readonly folder: string | undefined;
  /** Write CPU profiles of all processes here. */
  readonly profileFolder: string | undefined;
}

export const usage = `npm run bench -- [options]
  --backend postgres        ${backendNames.join(", ")}; repeatable, or separated by commas; default: all that can be had
  --workload W2             repeatable, or separated by commas; default: all
  --quick                   everything smaller, under a minute in all
  --sleepers N              how many runs sleep in W4 (default 10000)
  --json                    JSON lines on standard output, progress on standard error
  --strict                  exit code 1 if a goal is missed (default: only if work was lost or failed)
  --dir FOLDER              where the database files go, also those of servers that are started (default: the system's temporary folder)
  --cpu-prof FOLDER         write a CPU profile of each process (those that are killed write none)
`;

/** Reads the command line. Throws an `Error` that says what is wrong with it. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      backend: { type: "string", multiple: true },
      workload: { type: "string", multiple: true },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      strict: { type: "boolean", default: false },
      sleepers: { type: "string", default: "10000" },
      dir: { type: "string" },
      "cpu-prof": { type: "string" },
    },
  });
  const backends = listOf(values.backend).map((name) => {
    const known = backendNames.find((backend) => backend === name);
    if (known === undefined) throw new Error(`unknown backend "${name}": use ${backendNames.join(" or ")}`);
    return known;
  });
  const sleepers = Number(values.sleepers);
  if (!Number.isSafeInteger(sleepers) || sleepers < 1)
    throw new Error(`--sleepers must be a whole number above 0, not "${values.sleepers}"`);
  return {
    backends,
    workloads: listOf(values.workload),
    quick: values.quick,
    json: values.json,
    strict: values.strict,
    sleepers,
    folder: values.dir,
    profileFolder: values["cpu-prof"],
  };
}

const listOf = (values: readonly string[] = []): readonly string[] =>
  values.flatMap((names) => names.split(",")).filter((name) => name !== "");
