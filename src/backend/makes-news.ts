import type { Effects, Operation, Outcome } from "./operations.js";
import type { WorkerKey } from "./records.js";

/** Has an operation made work that another process could do, or changed what one may wait for? `isOurs`: is this worker one of this process's? */
export function makesNews(operation: Operation | undefined, outcome: Outcome, isOurs: (worker: WorkerKey) => boolean): boolean {
  switch (outcome.status) {
    case "started":
      return !outcome.owned || (operation?.type === "start" && (operation.terminates !== null || isHeard(operation.eager?.effects)));
    case "committed":
      return !outcome.owned || (operation?.type === "turn" && isHeard(operation.effects));
    case "sent":
    case "finished":
      return outcome.owner === null || !isOurs(outcome.owner);
    case "appended":
    case "terminated":
    case "resumed":
      return true;
    case "exists":
    case "fenced":
    case "unseen_inbox":
    case "locked":
    case "duplicate":
    case "not_running":
    case "not_found":
    case "touched":
    case "gone":
    case "not_parked":
      return false;
    default:
      return outcome satisfies never;
  }
}

/** Does a turn of a run that is driven on matter to others? Those who work at its tasks, read its state or follow its streams. */
const isHeard = (effects: Effects | undefined): boolean =>
  effects !== undefined &&
  effects.tasks.length + effects.withdrawnTasks.length + effects.cancelledTasks.length + effects.entries.length + effects.chunks.length > 0;
