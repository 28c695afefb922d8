import { parseArgs } from "node:util";
import { peerWorkloads, type PeerWorkload } from "./contender.js";
import { contenderNames, type ContenderName } from "./slice.js";

export interface PeerOptions {
  readonly workloads: readonly PeerWorkload[];
  readonly contenders: readonly ContenderName[];
  readonly rounds: number;
  readonly json: boolean;
}

export const usage = `npm run bench:peers -- [options]
  --workload W1|W2      repeatable, or separated by commas; default: both
  --contender NAME      ${contenderNames.join(", ")}; likewise; default: all
  --rounds N            how many turns each has, 1 to 20 (default 3; a round of everything takes some 80 seconds)
  --json                one JSON line on standard output, progress on standard error
`;

/** Reads the command line. Throws an `Error` that says what is wrong with it. */
export function parsePeerOptions(argv: readonly string[]): PeerOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      workload: { type: "string", multiple: true },
      contender: { type: "string", multiple: true },
      rounds: { type: "string", default: "3" },
      json: { type: "boolean", default: false },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 20)
    throw new Error(`--rounds takes a whole number from 1 to 20, not "${values.rounds}"`);
  return {
    workloads: chosen("workload", peerWorkloads, values.workload),
    contenders: chosen("contender", contenderNames, values.contender),
    rounds,
    json: values.json,
  };
}

function chosen<Name extends string>(option: string, known: readonly Name[], values: readonly string[] = []): readonly Name[] {
  const wanted = values.flatMap((names) => names.split(",")).filter((name) => name !== "");
  const unknown = wanted.find((name) => !known.some((one) => one === name));
  if (unknown !== undefined) throw new Error(`there is no ${option} "${unknown}": use ${known.join(" or ")}`);
  return wanted.length === 0 ? known : known.filter((one) => wanted.includes(one));
}
