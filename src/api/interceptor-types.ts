import type { WorkflowContext, WorkflowInfo } from "./context-types.js";

/** Small texts that go along with a start, and from a run to its activities and children: trace ids, tenants, who asked. */
export type Headers = Record<string, string>;

/**
 * Hooks around everything that perdure does for an application: for tracing, logging and authorization. Each `next` goes on; what it gives may be changed, and it
 * may be left out. The first interceptor in the list is the outermost.
 * @example
 * const traced: Interceptor = {
 *   start: (call, next) => { call.headers.trace = currentTraceId(); return next(); },
 *   activity: (call, next) => withTrace(call.headers.trace, next),
 * };
 */
export interface Interceptor {
  /** Around the start of a run by a client. What is set in `headers` goes along with the run. */
  readonly start?: ((call: StartCall, next: () => Promise<void>) => Promise<void>) | undefined;
  /** Around a message that a client sends. */
  readonly send?: ((call: SendCall, next: () => Promise<void>) => Promise<void>) | undefined;
  /** Around an update that a client asks for. */
  readonly update?: ((call: SendCall, next: () => Promise<unknown>) => Promise<unknown>) | undefined;
  /** Around the code of a workflow. It runs as part of it, on every replay too: only what goes through `ctx` may have an effect. */
  readonly workflow?: ((call: WorkflowCall, next: () => Promise<unknown>) => Promise<unknown>) | undefined;
  /** Called, synchronously and on every replay too, when workflow code calls an activity or starts a child: may change the headers that go along. */
  readonly outbound?: ((call: OutboundCall) => void) | undefined;
  /** Around every attempt of a step. */
  readonly step?: ((call: StepCall, next: () => Promise<unknown>) => Promise<unknown>) | undefined;
  /** Around every attempt of an activity, in the process that executes it. */
  readonly activity?: ((call: ActivityCallInfo, next: () => Promise<unknown>) => Promise<unknown>) | undefined;
}

export interface StartCall {
  readonly workflow: string;
  readonly id: string;
  readonly input: unknown;
  readonly headers: Headers;
}

export interface SendCall {
  /** The name of the message or update. */
  readonly name: string;
  readonly id: string;
  readonly value: unknown;
}

export interface WorkflowCall {
  readonly info: WorkflowInfo;
  readonly ctx: WorkflowContext;
  readonly headers: Readonly<Headers>;
  readonly input: unknown;
}

export interface OutboundCall {
  readonly kind: "activity" | "child";
  readonly name: string;
  readonly headers: Headers;
}

interface AttemptCall {
  readonly name: string;
  readonly attempt: number;
  readonly runId: string;
  readonly headers: Readonly<Headers>;
}

export interface StepCall extends AttemptCall {
  readonly workflow: string;
  readonly id: string;
}

export interface ActivityCallInfo extends AttemptCall {
  readonly workflowId: string;
  readonly input: unknown;
}
