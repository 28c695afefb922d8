import type { Operation, Outcome, WorkerKey } from "../../backend/index.js";

/** Has an operation made work that another process could do, or ended what one may wait for? `isOurs`: is this worker one of this process's? */
export function makesNews(operation: Operation | undefined, outcome: Outcome, isOurs: (worker: WorkerKey) => boolean): boolean {
  switch (outcome.status) {
    case "started":
      return !outcome.owned || (operation?.type === "start" && (operation.eager?.effects.tasks.length ?? 0) > 0);
    case "committed":
      return !outcome.owned || (operation?.type === "turn" && operation.effects.tasks.length > 0);
    case "sent":
    case "finished":
      return outcome.owner === null || !isOurs(outcome.owner);
    case "resumed":
      return true;
    case "exists":
    case "fenced":
    case "unseen_inbox":
    case "locked":
    case "duplicate":
    case "not_running":
    case "not_found":
    case "gone":
    case "not_parked":
      return false;
    default:
      return outcome satisfies never;
  }
}
