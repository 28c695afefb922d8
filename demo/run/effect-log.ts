// What really happened, kept outside perdure: every worker process appends a line when a body begins and when it ends. The proof compares this
// with what the database says. Plain writes without fsync: they survive the death of the process, which is what the demo is about.
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";

/** One line of the log. */
export interface Effect {
  readonly phase: "start" | "end" | "failed";
  /** Wall-clock time in ms; all processes share the machine's clock. */
  readonly at: number;
  readonly pid: number;
  /** The workflow id. */
  readonly run: string;
  readonly kind: "step" | "activity";
  /** For people: "parse", "profile price". */
  readonly body: string;
  /** perdure's idempotency key: the same for every execution of one body of one run, and for no other. */
  readonly key: string;
  readonly attempt: number;
  /** This execution of the body: no other has this id. */
  readonly execution: string;
  /** At the start: the executions whose results this body was handed. */
  readonly saw?: readonly string[] | undefined;
}

/** A result with the execution that made it, so that whoever gets the result can tell which of several executions was recorded. */
export interface Made<T> {
  readonly by: string;
  readonly value: T;
}

export interface BodyInfo extends Pick<Effect, "run" | "kind" | "body" | "key" | "attempt"> {
  readonly saw?: readonly string[] | undefined;
}

export interface EffectLog {
  /** Runs a body between its two lines. */
  around<T>(info: BodyInfo, body: () => Promise<T>): Promise<Made<T>>;
  close(): void;
}

export function openEffectLog(folder: string, pid: number, now: () => number): EffectLog {
  const file = openSync(join(folder, `worker-${pid}.jsonl`), "a");
  const append = (effect: Effect): void => void writeSync(file, `${JSON.stringify(effect)}\n`);
  let executions = 0;
  return {
    async around({ saw, ...info }, body) {
      executions += 1;
      const execution = `${pid}#${executions}`;
      append({ phase: "start", at: now(), pid, ...info, execution, saw });
      try {
        const value = await body();
        append({ phase: "end", at: now(), pid, ...info, execution });
        return { by: execution, value };
      } catch (error) {
        append({ phase: "failed", at: now(), pid, ...info, execution });
        throw error;
      }
    },
    close: () => closeSync(file),
  };
}

/** The lines of all processes in order of time. `torn` counts lines that are not whole and are not the last of their process. */
export function readEffects(folder: string): { readonly effects: readonly Effect[]; readonly torn: number } {
  const logs = readdirSync(folder).map((name) => parseEffects(readFileSync(join(folder, name), "utf8")));
  return {
    effects: logs.flatMap(({ effects }) => effects).toSorted((a, b) => a.at - b.at),
    torn: logs.reduce((sum, { torn }) => sum + torn, 0),
  };
}

export function parseEffects(text: string): { readonly effects: readonly Effect[]; readonly torn: number } {
  const effects: Effect[] = [];
  let torn = 0;
  const lines = text.split("\n");
  // What follows the last newline is empty, or the line in which the process died.
  for (const line of lines.slice(0, -1)) {
    try {
      effects.push(JSON.parse(line) as Effect);
    } catch {
      torn += 1;
    }
  }
  return { effects, torn };
}
