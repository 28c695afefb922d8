import type { Effects } from "./operations.js";

const none: readonly never[] = [];

/** A turn that does nothing, to be spread over: most turns have only some kinds of effects. */
export const noEffects: Omit<Effects, "inboxSeen" | "next"> = {
  events: none,
  consumed: none,
  tasks: none,
  withdrawnTasks: none,
  cancelledTasks: none,
  entries: none,
  chunks: none,
  attributes: none,
};
