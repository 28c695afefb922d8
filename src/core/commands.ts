import type { StepContext } from "../api/context-types.js";
import type { CommandKind, CommandRecord } from "./events.js";
import type { RetryPlan } from "./retry.js";

/** What a turn asks for, with everything that is needed to do it. Only kind, name and due time are recorded: a replay makes the rest anew. */
export type Command = StepCommand | ActivityCommand | SleepCommand | ReceiveCommand | ScopeTimeoutCommand;

interface CommandBase {
  readonly kind: CommandKind;
  /** Its place among the run's commands, from 1. */
  readonly number: number;
  readonly name: string;
  /** When it settles by itself, in ms; null for never. */
  readonly dueAt: number | null;
}

export interface StepCommand extends CommandBase {
  readonly kind: "step";
  readonly run: (io: StepContext) => unknown;
  readonly retry: RetryPlan;
  /** How long one attempt may take, in ms; null for no limit. */
  readonly timeoutMs: number | null;
}

export interface ActivityCommand extends CommandBase {
  readonly kind: "activity";
  /** Encoded at the call, so that changing the argument later changes nothing. */
  readonly input: string;
  readonly retry: RetryPlan;
  /** How long one attempt may take, in ms; null for no limit. */
  readonly timeoutMs: number | null;
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

export const recordOf = (command: Command): CommandRecord =>
  command.dueAt === null ? [command.kind, command.name] : [command.kind, command.name, command.dueAt];
