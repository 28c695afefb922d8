import { TimeoutError } from "../errors.js";
import type { Command } from "./commands.js";
import type { Expiry } from "./events.js";

/** What a wait without `otherwise` throws when its time is over; undefined for what simply ends then. */
export function timeoutOf(command: Command): TimeoutError | undefined {
  const { kind, name } = command;
  switch (kind) {
    case "receive":
      return new TimeoutError(`No message "${name}" came in time.`, { details: { message: name } });
    case "child_result":
      return new TimeoutError(`The child workflow "${name}" has not ended in time. It goes on.`, { details: { workflow: name } });
    case "activity":
      return new TimeoutError(`Activity "${name}" took longer than its total timeout, all attempts and waits together.`, {
        details: { activity: name },
      });
    default:
      return undefined;
  }
}

/** Why an activity failed that nobody took, or of whose worker nothing more was heard. */
export const expiredError = (expiry: Expiry): TimeoutError =>
  expiry === "queued"
    ? new TimeoutError("No worker took the activity within its `queued` timeout. Is a process running that has it, and serves its queue?", {
        details: { timeout: "queued" },
      })
    : new TimeoutError("The activity was silent for longer than its `heartbeat` timeout.", { details: { timeout: "heartbeat" } });
