import type { Termination } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { writeEnvelope } from "../core/events.js";
import { PerdureError } from "../errors.js";
import { runEndedErrand } from "./errand-tasks.js";
import { payloadFields } from "./payload-fields.js";

/** The last line of a run that is ended by force, and what is to be done after it. */
export async function terminationOf(codec: Codec, workflowId: string, reason: string | undefined): Promise<Termination> {
  const error = new PerdureError("terminated", reason === undefined ? "The run was terminated." : `The run was terminated: ${reason}`, {
    details: { reason },
  });
  const text = codec.encodeError(error);
  const payload = codec.sync ? text : await codec.seal(text, { workflowId, field: payloadFields.error });
  // Whether it has a parent or children is found out by the errand: reading it here would be too early or too late.
  return { event: writeEnvelope({ kind: "run_terminated" }), payload, tasks: [runEndedErrand(true)] };
}
