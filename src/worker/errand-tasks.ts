import type { NewTask } from "../backend/records.js";
import { errandName, errandRoute } from "./routes.js";

/** What a run leaves to be done for it (see errands.ts). */
export type Errand =
  /** The run has ended: tell its parent, and close its children. */
  | { readonly kind: "run_ended" }
  /** The run does not want this child any more. */
  | { readonly kind: "cancel_child"; readonly id: string; readonly runId: string };

/** Of the end of a run there is one, in the place of a command that no run has. */
export const runEndedErrand = (): NewTask => errandTask(0, { kind: "run_ended" });

export const cancelChildErrand = (command: number, id: string, runId: string): NewTask =>
  errandTask(command, { kind: "cancel_child", id, runId });

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
