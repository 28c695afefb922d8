import { workflow } from "perdure";
import { delay } from "../measure.js";

export const slowStepCount = 10;
export const slowStepMs = 20;

let noteStep: (id: string, step: number) => void = () => {};

/** Where the bodies of `slowSteps` in this process say that they begin. */
export function onSlowStep(callback: (id: string, step: number) => void): void {
  noteStep = callback;
}

/** Ten steps of 20 ms each: the workflow that gets killed. */
export const slowSteps = workflow("slow-steps", async (ctx) => {
  const { id } = ctx.info;
  for (let step = 0; step < slowStepCount; step++) {
    await ctx.step("slow", async () => {
      noteStep(id, step);
      await delay(slowStepMs);
      return step;
    });
  }
  return slowStepCount;
});
