// Many schedules of the real engine on virtual time, each drawn from one seed.
//   npm run sim -- --seeds N [--seed S] [--corpus] [--mutants] [--trace] [--json]
// Seeds S, S+1, … S+N-1, or with `--corpus` those that once failed (test/sim/corpus.json). `--trace` prints every event. With `--mutants`, N is how many schedules each mutant may take to be noticed.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import * as simulation from "#simulation";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    seed: { type: "string", default: "1" },
    corpus: { type: "boolean", default: false },
    mutants: { type: "boolean", default: false },
    trace: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const count = positive("seeds", values.seeds);
const first = positive("seed", values.seed);

function positive(name: string, text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`--${name} takes a whole number, not ${JSON.stringify(text)}`);
  return number;
}

const say = (text: string): void => void process.stderr.write(`${text}\n`);

const common = {
  hop: (callback: () => void) => void setImmediate(callback),
  monotonicMs: () => performance.now(),
  onUncaught(listener: (error: unknown) => void) {
    process.on("uncaughtException", listener);
    return () => void process.off("uncaughtException", listener);
  },
};

function report({ seed, violations }: simulation.ScheduleResult): void {
  for (const { invariant, message, atMs } of violations)
    say(`seed ${seed} at ${Math.round(atMs)} ms: ${invariant} does not hold: ${message}`);
  say(`again: npm run sim -- --seeds 1 --seed ${seed} --trace`);
}

async function hunt(): Promise<boolean> {
  const mutants = await simulation.huntMutants({ ...common, firstSeed: first, seedsMax: count });
  const caught = mutants.filter((mutant) => mutant.seedsToCatch !== null).length;
  for (const { name, seedsToCatch } of mutants)
    say(`${seedsToCatch === null ? "NOT CAUGHT" : `caught by schedule ${seedsToCatch}`.padEnd(22)} ${name}`);
  if (values.json) console.log(JSON.stringify({ caught, total: mutants.length, mutants }));
  return caught === mutants.length;
}

function corpus(): readonly number[] {
  const { seeds } = JSON.parse(readFileSync("test/sim/corpus.json", "utf8")) as { readonly seeds: readonly { readonly seed: number }[] };
  return seeds.map(({ seed }) => seed);
}

async function sweep(): Promise<boolean> {
  const seeds = values.corpus ? corpus() : Array.from({ length: count }, (_, index) => first + index);
  let saidAt = performance.now();
  const summary = await simulation.runBatch({
    ...common,
    seeds,
    onFailure: report,
    onProgress(done) {
      if (performance.now() - saidAt < 5000) return;
      saidAt = performance.now();
      say(`${done} of ${seeds.length} schedules`);
    },
    onEvent: values.trace ? (atMs, actor, label) => say(`${atMs.toFixed(2).padStart(12)} ${actor.padEnd(8)} ${label}`) : undefined,
  });
  const { missing, ...figures } = summary;
  for (const name of missing) say(`never happened in ${summary.schedules} schedules: ${name}`);
  say(
    `${summary.schedules} schedules, ${summary.virtualHours} virtual hours, ${summary.schedulesPerSec} schedules/s, ${summary.violations} violations`,
  );
  if (values.json) console.log(JSON.stringify(figures));
  return summary.violations === 0 && missing.length === 0;
}

process.exitCode = (await (values.mutants ? hunt() : sweep())) ? 0 : 1;
