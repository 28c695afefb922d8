import type { Command } from "./commands.js";
import type { Scope } from "./scope.js";

/** An operation that the code may be waiting for. */
export interface Pending {
  readonly command: Command;
  readonly scope: Scope;
  readonly promise: Promise<unknown> | undefined;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** For `receiveAny`: the key of each message's name. */
  readonly keys: ReadonlyMap<string, string> | undefined;
  /** For waits with a timeout: what to give then. Absent: a TimeoutError. */
  readonly otherwise: { readonly value: unknown } | undefined;
  /** For children: told when the child is stored. */
  readonly onStarted: (() => void) | undefined;
  /** For steps and activities: the attempt that is running or comes next. */
  attempt: number;
  /** Is it recorded that the child is stored, or that the at-most-once attempt has begun? */
  started: boolean;
  /** When the next attempt may begin, in ms; null if it may at once. */
  retryAt: number | null;
}
