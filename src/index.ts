// The public surface, grouped by what a reader is doing. Backends, testing and the backend contract have entry points of their own.

// write workflows
export { activity, activityRef, message, workflow, workflowRef } from "./api/define.js";
export type {
  Activity,
  ActivityRef,
  AnyActivity,
  AnyMessage,
  AnyWorkflow,
  CallOptions,
  Envelope,
  Message,
  StepOptions,
  Workflow,
  WorkflowOptions,
  WorkflowRef,
} from "./api/definition-types.js";
export type { ActivityContext, Logger, Received, ScopeOptions, StepContext, WorkflowContext, WorkflowInfo } from "./api/context-types.js";
export type { Args, ErrorClass, In, InputOf, ResultOf, Schema, StandardSchema, Unset, ValueArgs, Wait } from "./api/shape-types.js";
export type { Duration, DurationUnit } from "./core/duration.js";
export type { RetryPolicy } from "./core/retry.js";

// run them
export { connect, launch } from "./api/launch.js";
export { compression } from "./codec/compression.js";
export { encryption } from "./codec/encryption.js";
export type { PayloadCodec, PayloadContext } from "./codec/codec.js";
export type { CodecLimits } from "./codec/limits.js";
export type { Backend } from "./backend/backend.js";
export type {
  Client,
  CloseOptions,
  Connect,
  ConnectOptions,
  Engine,
  Handle,
  Launch,
  LaunchOptions,
  ResultWait,
  RunHandle,
  SendOptions,
  StartOptions,
} from "./api/client-types.js";

// look at them
export type { HistoryCommand, HistoryEvent } from "./api/history-types.js";
export type { ErrorInfo, Filter, ParkedInfo, RunInfo, RunStatus, WaitingFor } from "./api/client-types.js";
export type { InputIssue } from "./api/schema.js";

// handle errors
export {
  CancelledError,
  isPerdureError,
  NonRetryableError,
  PerdureError,
  RetryAfterError,
  RunFailedError,
  TimeoutError,
} from "./errors.js";
export type { ErrorCode, PerdureErrorOptions } from "./errors.js";
