import { PerdureError } from "../errors.js";

/** What a token names: one attempt of one activity of one run, whoever has claimed it. */
export interface ActivityToken {
  readonly workflowId: string;
  readonly runId: string;
  readonly command: number;
  readonly attempt: number;
}

const version = "1";

export const writeToken = ({ workflowId, runId, command, attempt }: ActivityToken): string =>
  Buffer.from(JSON.stringify([version, workflowId, runId, command, attempt])).toString("base64url");

/** @throws PerdureError `invalid_argument` */
export function readToken(token: unknown): ActivityToken {
  try {
    const [given, workflowId, runId, command, attempt] = JSON.parse(Buffer.from(String(token), "base64url").toString()) as unknown[];
    if (
      given === version &&
      typeof workflowId === "string" &&
      typeof runId === "string" &&
      Number.isInteger(command) &&
      Number.isInteger(attempt)
    )
      return { workflowId, runId, command: command as number, attempt: attempt as number };
  } catch {
    // Said below.
  }
  throw new PerdureError(
    "invalid_argument",
    "This is not the token of an activity. Give the token that the activity was handed, as it was.",
  );
}
