import type { NewTask } from "../backend/records.js";
import type { ChildCommand } from "../core/commands.js";
import { errandName, errandRoute } from "./routes.js";

/** What a run leaves to be done for it (see errands.ts). */
export type Errand =
  /** The run has ended: tell its parent, and close its children, unless it is known to have none. */
  | { readonly kind: "run_ended"; readonly childless?: true }
  /** The run does not want this child any more. */
  | { readonly kind: "cancel_child"; readonly id: string; readonly name: string };

/** Of the end of a run there is one, in the place of a command that no run has. */
export const runEndedErrand = (mayHaveChildren: boolean): NewTask =>
  errandTask(0, mayHaveChildren ? { kind: "run_ended" } : { kind: "run_ended", childless: true });

export const cancelChildErrand = ({ number, id, name }: ChildCommand): NewTask => errandTask(number, { kind: "cancel_child", id, name });

const errandTask = (command: number, errand: Errand): NewTask => ({
  command,
  name: errandName,
  route: errandRoute,
  attempt: 1,
  input: "",
  options: JSON.stringify(errand),
  dueAt: 0,
  expiresAt: null,
  heartbeatMs: null,
  details: null,
});
