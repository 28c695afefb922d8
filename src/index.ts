// The public surface, grouped by what a reader is doing. Backends, testing and the backend contract have entry points of their own.

// write workflows
export { activity, activityRef, message, queue, state, stream, update, workflow, workflowRef } from "./api/define.js";
export type {
  Activity,
  ActivityRef,
  ActivityTimeouts,
  AnyActivity,
  AnyMessage,
  AnyWorkflow,
  Attributes,
  BoundTransaction,
  CallOptions,
  ChildOptions,
  Envelope,
  Message,
  Queue,
  State,
  StepOptions,
  Stream,
  TransactionSource,
  Update,
  Workflow,
  WorkflowOptions,
  WorkflowRef,
} from "./api/definition-types.js";
export type {
  ActivityContext,
  ChildHandle,
  Logger,
  Received,
  ScopeOptions,
  StepContext,
  WorkflowContext,
  WorkflowInfo,
  WorkflowRunHandle,
} from "./api/context-types.js";
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
  StreamEntry,
  StreamOptions,
  StreamReader,
} from "./api/client-types.js";

export type {
  ActivityCallInfo,
  Headers,
  Interceptor,
  OutboundCall,
  SendCall,
  StartCall,
  StepCall,
  WorkflowCall,
} from "./api/interceptor-types.js";

// look at them
export type { HistoryCommand, HistoryEvent, HistoryExport } from "./api/history-types.js";
export type { ErrorInfo, Filter, ParkedInfo, RunInfo, RunStatus, WaitingFor } from "./api/client-types.js";
export type { InputIssue } from "./core/schema.js";

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
