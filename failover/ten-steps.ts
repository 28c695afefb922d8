import { workflow } from "perdure";
import { delay } from "../bench/measure.js";
import type { Effect } from "./effect-log.js";

export const stepCount = 10;
export const stepMs = 20;

/** What a step returns, and so what is recorded of it. */
export interface StepResult {
  readonly value: number;
  /** The execution that it came from, as in the effect log. */
  readonly by: string;
}

export interface TenStepsResult {
  readonly sum: number;
  readonly by: readonly string[];
}

export const idOf = (input: number): string => `run-${input}`;
export const valueOf = (input: number, step: number): number => input * 100 + step;

export interface Surroundings {
  readonly note: (what: Effect["what"], token: string, run: string, step: number) => void;
  /** The first step of every run ends no sooner than this resolves: all runs are then in flight, and none has ended. */
  readonly gate: Promise<void>;
}

/** Ten steps of 20 ms each, whose bodies heed no abort: those of a process that was stopped end in any case, and try to be recorded. */
export function tenSteps({ note, gate }: Surroundings) {
  let executions = 0;
  return workflow("ten-steps", async (ctx, input: number): Promise<TenStepsResult> => {
    const { id } = ctx.info;
    const by: string[] = [];
    let sum = 0;
    for (let step = 1; step <= stepCount; step++) {
      const result = await ctx.step("slow", async (): Promise<StepResult> => {
        const token = `${process.pid}.${(executions += 1)}`;
        note("began", token, id, step);
        if (step === 1) await gate;
        await delay(stepMs);
        note("ended", token, id, step);
        return { value: valueOf(input, step), by: token };
      });
      sum += result.value;
      by.push(result.by);
    }
    return { sum, by };
  });
}
