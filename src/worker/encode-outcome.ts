import type { Payload } from "../backend/records.js";
import type { Codec, PayloadContext } from "../codec/codec.js";
import { PerdureError } from "../errors.js";
import type { BodyOutcome } from "./step-runner.js";

/** What a body gave, as text and as it is stored. */
export interface EncodedOutcome {
  readonly text: string;
  readonly payload: Payload;
  /** For a failure: the error as it was thrown, for the retry policy to judge. */
  readonly failure: { readonly error: unknown } | undefined;
  /** Set if the codec chain failed, so that there is nothing to store: the body must run again. */
  readonly unsealed: { readonly error: unknown } | undefined;
}

export interface EncodeOutcomeOptions {
  readonly codec: Codec;
  readonly outcome: BodyOutcome;
  /** Names the value in errors: `the result of step "charge"`. */
  readonly what: string;
  readonly context: PayloadContext;
  /** Makes the text of a failure from that of its error. Default: the same. */
  readonly asFailure?: ((error: string) => string) | undefined;
  /** Called at once where the codec can. */
  readonly done: (encoded: EncodedOutcome) => void;
}

/** Encodes what a body gave. A value that cannot be encoded is a failure of its body: it is told where it was awaited, and the run goes on. */
export function encodeOutcome({ codec, outcome, what, context, asFailure, done }: EncodeOutcomeOptions): void {
  let text: string;
  let failure: EncodedOutcome["failure"];
  try {
    if (!outcome.ok) throw outcome.error;
    text = codec.encode(outcome.value, what);
  } catch (error) {
    failure = { error };
    text = codec.encodeError(error);
    if (asFailure !== undefined) text = asFailure(text);
  }
  if (codec.sync) done({ text, payload: text, failure, unsealed: undefined });
  else void sealOutcome(text);

  async function sealOutcome(open: string): Promise<void> {
    let payload: Payload = "";
    let unsealed: EncodedOutcome["unsealed"];
    try {
      payload = await codec.seal(open, context);
    } catch (cause) {
      unsealed = { error: new PerdureError("internal", `The codec chain could not seal ${what}: ${String(cause)}`, { cause }) };
    }
    done({ text: open, payload, failure, unsealed });
  }
}
