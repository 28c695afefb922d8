/** What launch and connect were given to be around everything: composed once, so that nothing costs anything where there is none. */
import type { ActivityContext, StepContext, WorkflowContext } from "../api/context-types.js";
import type { Headers, Interceptor, OutboundCall } from "../api/interceptor-types.js";
import type { RunFacts } from "../core/machine-options.js";

export interface Interceptors {
  readonly all: readonly Interceptor[];
  /** Around the code of a workflow, in the workflow. */
  workflow(facts: RunFacts, ctx: WorkflowContext, input: unknown, run: (ctx: WorkflowContext, input: any) => unknown): unknown;
  /** Around the body of a step; undefined where nobody wants to be. */
  readonly aroundSteps:
    | ((facts: RunFacts, name: string, io: StepContext, run: (io: StepContext) => unknown) => Promise<unknown>)
    | undefined;
  /** Around the body of an activity, wherever it runs. */
  activity(call: ActivityCall, run: (input: any, io: ActivityContext) => unknown): unknown;
  /** The headers of a call that workflow code makes; undefined where nobody wants to change them. */
  readonly outbound: ((facts: RunFacts, call: Omit<OutboundCall, "headers">) => Headers | undefined) | undefined;
}

export interface ActivityCall {
  readonly name: string;
  readonly workflowId: string;
  readonly runId: string;
  readonly headers: Headers;
  readonly input: unknown;
  readonly io: ActivityContext;
}

const noHeaders: Headers = {};

export function interceptorsOf(all: readonly Interceptor[]): Interceptors {
  const workflows = all.flatMap(({ workflow }) => workflow ?? []);
  const steps = all.flatMap(({ step }) => step ?? []);
  const activities = all.flatMap(({ activity }) => activity ?? []);
  const calls = all.flatMap(({ outbound }) => outbound ?? []);
  return {
    all,
    workflow(facts, ctx, input, run) {
      if (workflows.length === 0) return run(ctx, input);
      const call = { info: ctx.info, headers: facts.headers ?? noHeaders, ctx, input };
      return around(workflows, call, () => run(ctx, input));
    },
    aroundSteps:
      steps.length === 0
        ? undefined
        : (facts, name, io, run) => {
            const { name: workflow, id, runId, headers = noHeaders } = facts;
            return around(steps, { name, workflow, id, runId, headers, attempt: io.attempt }, () => run(io));
          },
    activity({ input, io, ...call }, run) {
      if (activities.length === 0) return run(input, io);
      return around(activities, { ...call, input, attempt: io.attempt }, () => run(input, io));
    },
    outbound:
      calls.length === 0
        ? undefined
        : (facts, call) => {
            const outgoing: OutboundCall = { ...call, headers: { ...facts.headers } };
            for (const change of calls) change(outgoing);
            return Object.keys(outgoing.headers).length === 0 ? undefined : outgoing.headers;
          },
  };
}

/** The first is the outermost. */
export function around<Call, Result>(
  hooks: readonly ((call: Call, next: () => Promise<Result>) => Promise<Result>)[],
  call: Call,
  innermost: () => unknown,
): Promise<Result> {
  const at = (index: number): Promise<Result> => {
    const hook = hooks[index];
    // Not before it is asked for, and what it throws at once is a rejection like any other.
    return hook === undefined ? new Promise<Result>((resolve) => resolve(innermost() as Result)) : hook(call, () => at(index + 1));
  };
  return at(0);
}
