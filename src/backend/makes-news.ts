import { everything, news, type News } from "./news.js";
import type { Effects, Operation, Outcome } from "./operations.js";
import type { WorkerKey } from "./records.js";

/** What an operation has made news of: work that another process could do, or what one may wait for. `isOurs`: is this worker one of this process's? */
export function newsOf(operation: Operation | undefined, outcome: Outcome, isOurs: (worker: WorkerKey) => boolean): News {
  switch (outcome.status) {
    case "started":
      return operation?.type === "start" ? ofStart(operation) : everything;
    case "committed":
      return operation?.type === "turn" ? ofEffects(operation.effects) : everything;
    case "sent":
    case "finished":
      if (outcome.owner === null) return news.runs;
      return isOurs(outcome.owner) ? 0 : news.mail;
    case "appended":
      return news.shown;
    case "terminated":
      return everything;
    case "resumed":
      return news.runs;
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
      return 0;
    default:
      return outcome satisfies never;
  }
}

export const makesNews = (operation: Operation | undefined, outcome: Outcome, isOurs: (worker: WorkerKey) => boolean): boolean =>
  newsOf(operation, outcome, isOurs) !== 0;

/** What an operation will make news of, as things usually go: for telling before its outcome is known. */
export function usualNewsOf(operation: Operation): News {
  switch (operation.type) {
    case "start":
      return ofStart(operation);
    case "turn":
      return ofEffects(operation.effects);
    case "send":
    case "finish_task":
      // Whoever claims the run in passing goes on with it, or drives it already.
      return operation.claimFor === null ? news.runs | news.mail : 0;
    case "append":
      return news.shown;
    case "resume":
      return news.runs;
    case "terminate":
      return everything;
    case "touch_task":
      return 0;
    default:
      return operation satisfies never;
  }
}

function ofStart({ terminates, eager }: Extract<Operation, { readonly type: "start" }>): News {
  if (terminates !== null) return everything;
  return eager === null ? news.runs : ofEffects(eager.effects);
}

/** Of a turn: for those who work at its tasks, wait for its end, read its state or follow its streams, or drive it when it is due. */
function ofEffects({ next, tasks, withdrawnTasks, cancelledTasks, entries, chunks }: Effects): News {
  let made: News = 0;
  if (tasks.length > 0) made |= news.tasks;
  if (withdrawnTasks.length + cancelledTasks.length > 0) made |= news.mail;
  if (entries.length + chunks.length > 0) made |= news.shown;
  switch (next.state) {
    case "driving":
      return made;
    case "idle":
      // What only something from outside can move is news when that comes.
      return next.dueAt === null ? made : made | news.runs;
    case "parked":
      return made | news.runs;
    case "ended":
      return made | news.ends;
    case "continued":
      return made | news.ends | news.runs;
    default:
      return next satisfies never;
  }
}
