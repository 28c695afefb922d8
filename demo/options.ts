import { parseArgs } from "node:util";

export interface DemoOptions {
  readonly seed: number;
  readonly kills: number;
  readonly out: string;
  readonly paceMs: number;
  readonly help: boolean;
}

export const usage = `npm run demo -- [options]

  --seed N    repeats the order of files, the moments of kills and the answers of an earlier run (default: a random one, printed)
  --kills N   how many times a worker process is killed (default: 10)
  --pace MS   how long each step and activity dawdles, so that kills find work in flight (default: 150)
  --out DIR   where reports, timelines and the database go; emptied first (default: .perdure/demo)
`;

/** Reads the command line. @throws an Error that says what is wrong */
export function parseOptions(args: readonly string[], randomSeed: () => number): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: "string" },
      kills: { type: "string", default: "10" },
      pace: { type: "string", default: "150" },
      out: { type: "string", default: ".perdure/demo" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  return {
    seed: values.seed === undefined ? randomSeed() : wholeNumber("seed", values.seed, 0xff_ff_ff_ff),
    kills: wholeNumber("kills", values.kills, 1000),
    paceMs: wholeNumber("pace", values.pace, 10_000),
    out: values.out,
    help: values.help,
  };
}

function wholeNumber(name: string, text: string, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > max) throw new Error(`--${name} takes a whole number from 0 to ${max}, not "${text}"`);
  return value;
}
