import { PerdureError } from "../errors.js";

/** What callers are told about runs that are not there to be told anything. */
export const notFound = (id: string): PerdureError =>
  new PerdureError("not_found", `There is no run "${id}". Check the id, and that this store is the one it was started in.`, {
    details: { id },
  });

export const notRunning = (id: string): PerdureError =>
  new PerdureError("not_running", `Run "${id}" has ended, so it takes nothing any more.`, { details: { id } });
