import { parseArgs } from "node:util";
import { sharedBackends, type BackendName } from "../bench/sites.js";

export interface Options {
  readonly backend: BackendName;
  /** Of each kind: so many workers are killed, and so many stopped. */
  readonly trials: number;
  /** How many runs are in flight in each trial. */
  readonly runs: number;
  /** The lease of the workers in stop trials, in ms. */
  readonly leaseMs: number;
  /** JSON lines on standard output instead of text. */
  readonly json: boolean;
}

export const usage = `npm run failover -- [options]
  --backend ${sharedBackends.join("|")}   default: sqlite
  --trials N    how many workers are killed, and how many are stopped (default 5)
  --runs N      how many runs are in flight in each trial (default 200)
  --lease MS    the lease of workers that are stopped (default 2000; those that are killed have the library's default)
  --json        JSON lines on standard output, one a trial and a summary; everything else on standard error
`;

/** Reads the command line. Throws an `Error` that says what is wrong with it. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      backend: { type: "string", default: "sqlite" },
      trials: { type: "string", default: "5" },
      runs: { type: "string", default: "200" },
      lease: { type: "string", default: "2000" },
      json: { type: "boolean", default: false },
    },
  });
  const backend = sharedBackends.find((name) => name === values.backend);
  if (backend === undefined) throw new Error(`unknown backend "${values.backend}": use ${sharedBackends.join(" or ")}`);
  return {
    backend,
    trials: wholeNumber("trials", values.trials, 1, 1000),
    runs: wholeNumber("runs", values.runs, 2, 10_000),
    leaseMs: wholeNumber("lease", values.lease, 500, 60_000),
    json: values.json,
  };
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max)
    throw new Error(`--${name} takes a whole number from ${min} to ${max}, not "${text}"`);
  return value;
}
