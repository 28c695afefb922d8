import type { StepContext, WorkflowContext } from "../api/context-types.js";
import type { StepOptions } from "../api/definition-types.js";

/** What undoes something. */
export interface Compensation {
  readonly name: string;
  readonly run: (io: StepContext) => unknown;
  readonly options: StepOptions | undefined;
}

/** Runs them, the last first, each as a step. One that fails for good must not keep the others from running, nor hide what the run failed of. */
export async function compensate(ctx: Pick<WorkflowContext, "step" | "log">, compensations: readonly Compensation[]): Promise<void> {
  for (const { name, run, options } of compensations.toReversed()) {
    try {
      await ctx.step(name, run, options);
    } catch (error) {
      ctx.log.error(`The compensation "${name}" failed; what it was to undo may be there still.`, { compensation: name, error });
    }
  }
}
