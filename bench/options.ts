import { parseArgs } from "node:util";

export const backendKinds = ["sqlite", "memory"] as const;
export type BackendKind = (typeof backendKinds)[number];

export interface Options {
  /** One kind, or all of them. */
  readonly backends: readonly BackendKind[];
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
  --backend sqlite|memory   default: sqlite, then memory
  --workload W2             repeatable, or separated by commas; default: all
  --quick                   everything smaller, under a minute in all
  --sleepers N              how many runs sleep in W4 (default 10000)
  --json                    JSON lines on standard output, progress on standard error
  --strict                  exit code 1 if a goal is missed (default: only if work was lost or failed)
  --dir FOLDER              where the database files go (default: the system's temporary folder)
  --cpu-prof FOLDER         write a CPU profile of each process (those that are killed write none)
`;

/** Reads the command line. Throws an `Error` that says what is wrong with it. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      backend: { type: "string" },
      workload: { type: "string", multiple: true },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      strict: { type: "boolean", default: false },
      sleepers: { type: "string", default: "10000" },
      dir: { type: "string" },
      "cpu-prof": { type: "string" },
    },
  });
  const backends = values.backend === undefined ? backendKinds : backendKinds.filter((kind) => kind === values.backend);
  if (backends.length === 0) throw new Error(`unknown backend "${values.backend}": use ${backendKinds.join(" or ")}`);
  const sleepers = Number(values.sleepers);
  if (!Number.isSafeInteger(sleepers) || sleepers < 1)
    throw new Error(`--sleepers must be a whole number above 0, not "${values.sleepers}"`);
  return {
    backends,
    workloads: (values.workload ?? []).flatMap((names) => names.split(",")).filter((name) => name !== ""),
    quick: values.quick,
    json: values.json,
    strict: values.strict,
    sleepers,
    folder: values.dir,
    profileFolder: values["cpu-prof"],
  };
}
