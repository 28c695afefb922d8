import { openSync, readFileSync, writeSync } from "node:fs";
import { stampMs } from "../measure.js";

/** A step body that began: which process, when, of which run, which step. */
export interface Effect {
  readonly pid: number;
  readonly atMs: number;
  readonly id: string;
  readonly step: number;
}

/** A file outside the engine's data to which every process appends. Lines survive the kill of their process. */
export function openEffectLog(file: string): (id: string, step: number) => void {
  const descriptor = openSync(file, "a");
  return (id, step) => void writeSync(descriptor, `${process.pid} ${stampMs()} ${id} ${step}\n`);
}

export function readEffects(file: string): readonly Effect[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [pid, atMs, id = "", step] = line.split(" ");
      return { pid: Number(pid), atMs: Number(atMs), id, step: Number(step) };
    });
}

/** How many of the steps began more than once. */
export function doubledSteps(effects: readonly Effect[]): number {
  const seen = new Map<string, number>();
  for (const { id, step } of effects) seen.set(`${id} ${step}`, (seen.get(`${id} ${step}`) ?? 0) + 1);
  return [...seen.values()].filter((count) => count > 1).length;
}
