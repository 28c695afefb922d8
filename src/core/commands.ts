import type { StepContext } from "../api/context-types.js";
import type { ChildOptions, Message, TransactionSource, WorkflowRef } from "../api/definition-types.js";
import type { CommandKind, CommandRecord } from "./events.js";
import type { RetryPlan } from "./retry.js";

/** What a turn asks for, with everything that is needed to do it. Only kind, name and due time are recorded: a replay makes the rest anew. */
export type Command =
  | StepCommand
  | ActivityCommand
  | TransactionCommand
  | ChildCommand
  | ChildResultCommand
  | SendCommand
  | CancelRunCommand
  | SleepCommand
  | ReceiveCommand
  | ScopeTimeoutCommand
  | PatchCommand;

interface CommandBase {
  readonly kind: CommandKind;
  /** Its place among the run's commands, from 1. */
  readonly number: number;
  readonly name: string;
  /** When it settles by itself, in ms; null for never. */
  readonly dueAt: number | null;
}

/** What runs attempt by attempt, in this process or in another. */
interface AttemptedCommand extends CommandBase {
  readonly retry: RetryPlan;
  /** How long one attempt may take, in ms; null for no limit. */
  readonly timeoutMs: number | null;
}

export interface StepCommand extends AttemptedCommand {
  readonly kind: "step";
  readonly run: (io: StepContext) => unknown;
  readonly atMostOnce: boolean;
}

/** Its due time is the end of all attempts together. */
export interface ActivityCommand extends AttemptedCommand {
  readonly kind: "activity";
  /** Encoded at the call, so that changing the argument later changes nothing. */
  readonly input: string;
  readonly queue: string;
  /** How long an attempt may wait for a worker, and how long it may be silent, in ms; null for no limit. */
  readonly queuedMs: number | null;
  readonly heartbeatMs: number | null;
  readonly onCancel: "request" | "wait" | "abandon";
  readonly local: boolean;
  readonly headers: Readonly<Record<string, string>> | undefined;
}

export interface TransactionCommand extends AttemptedCommand {
  readonly kind: "transaction";
  readonly source: TransactionSource<any>;
  readonly run: (transaction: any) => unknown;
}

/** Has a middle: it is started, and later its outcome comes. */
export interface ChildCommand extends CommandBase {
  readonly kind: "child";
  readonly definition: WorkflowRef<any, any>;
  readonly id: string;
  readonly input: string;
  readonly options: ChildOptions;
  readonly headers: Readonly<Record<string, string>> | undefined;
}

/** Waits for the outcome of a child for a while; what it settles with is the child's. */
export interface ChildResultCommand extends CommandBase {
  readonly kind: "child_result";
  readonly dueAt: number;
}

export interface SendCommand extends CommandBase {
  readonly kind: "send";
  readonly target: string;
  readonly message: Message<any, any>;
  readonly value: string;
  /** Told apart from other sends by it; null: by this command. */
  readonly key: string | null;
}

export interface CancelRunCommand extends CommandBase {
  readonly kind: "cancel_run";
  readonly reason: string | undefined;
}

export interface SleepCommand extends CommandBase {
  readonly kind: "sleep";
  readonly dueAt: number;
}

export interface ReceiveCommand extends CommandBase {
  readonly kind: "receive";
  /** The messages that settle it. */
  readonly messages: readonly string[];
}

/** Cancels its scope when it fires. */
export interface ScopeTimeoutCommand extends CommandBase {
  readonly kind: "scope_timeout";
  readonly dueAt: number;
}

/** A mark that the run passed a place with its newer code; it waits for nothing. */
export interface PatchCommand extends CommandBase {
  readonly kind: "patch";
}

/** What is done by the process that drives the run, once its turn is committed. */
export type BodyCommand =
  | StepCommand
  | TransactionCommand
  | (ActivityCommand & { readonly local: true })
  | ChildCommand
  | SendCommand
  | CancelRunCommand;

export function hasBody(command: Command): command is BodyCommand {
  switch (command.kind) {
    case "step":
    case "transaction":
    case "child":
    case "send":
    case "cancel_run":
      return true;
    case "activity":
      return command.local;
    default:
      return false;
  }
}

/** Those that are tried again after a failure. */
export const isAttempted = (command: Command): command is StepCommand | ActivityCommand | TransactionCommand =>
  command.kind === "step" || command.kind === "activity" || command.kind === "transaction";

export const recordOf = (command: Command): CommandRecord =>
  command.dueAt === null ? [command.kind, command.name] : [command.kind, command.name, command.dueAt];
