import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { stampMs } from "../bench/measure.js";

/** The beginning or the end of a step's body. */
export interface Effect {
  readonly what: "began" | "ended";
  /** Names this execution of the body; no other has it. */
  readonly token: string;
  readonly pid: number;
  readonly run: string;
  readonly step: number;
  /** On the machine's monotonic clock, which its processes share. */
  readonly atMs: number;
}

/** A file outside the engine's data to which every process appends. Each line is one write, so that it survives its process and is never torn. */
export function openEffectLog(file: string): (what: Effect["what"], token: string, run: string, step: number) => void {
  const descriptor = openSync(file, "a");
  return (what, token, run, step) => void writeSync(descriptor, `${what} ${token} ${process.pid} ${run} ${step} ${stampMs()}\n`);
}

export interface EffectReader {
  /** Everything so far. Only what is new is read: the watcher must not take the watched ones' time. */
  effects(): readonly Effect[];
  close(): void;
}

export function readEffectLog(file: string): EffectReader {
  // Made here if no worker has yet.
  const descriptor = openSync(file, "a+");
  const buffer = Buffer.alloc(64 * 1024);
  const effects: Effect[] = [];
  let position = 0;
  let rest = "";
  return {
    effects() {
      for (;;) {
        const length = readSync(descriptor, buffer, 0, buffer.length, position);
        if (length === 0) return effects;
        position += length;
        const lines = `${rest}${buffer.toString("latin1", 0, length)}`.split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) effects.push(parse(line));
      }
    },
    close: () => closeSync(descriptor),
  };
}

function parse(line: string): Effect {
  const [what, token = "", pid, run = "", step, atMs] = line.split(" ");
  if (what !== "began" && what !== "ended") throw new Error(`the effect log has a line that nobody writes: ${line}`);
  return { what, token, pid: Number(pid), run, step: Number(step), atMs: Number(atMs) };
}
