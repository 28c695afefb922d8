import type { Payload } from "../backend/records.js";
import type { Codec, PayloadContext } from "../codec/codec.js";
import type { BodyOutcome } from "./step-runner.js";

/** What a body gave, as text and as it is stored. */
export interface EncodedOutcome {
  readonly text: string;
  readonly payload: Payload;
  /** For a failure: the error as it was thrown, for the retry policy to judge. */
  readonly failure: { readonly error: unknown } | undefined;
}

export interface EncodeOutcomeOptions {
  readonly codec: Codec;
  readonly outcome: BodyOutcome;
  /** Names the value in errors: `the result of step "charge"`. */
  readonly what: string;
  readonly context: PayloadContext;
  /** Called at once where the codec can. */
  readonly done: (encoded: EncodedOutcome) => void;
  readonly onTrouble: (message: string, error: unknown) => void;
}

/** Encodes what a body gave. A value that cannot be encoded is a failure of its body: it is told where it was awaited, and the run goes on. */
export function encodeOutcome({ codec, outcome, what, context, done, onTrouble }: EncodeOutcomeOptions): void {
  let text: string;
  let failure: EncodedOutcome["failure"];
  try {
    if (!outcome.ok) throw outcome.error;
    text = codec.encode(outcome.value, what);
  } catch (error) {
    failure = { error };
    text = codec.encodeError(error);
  }
  if (codec.sync) done({ text, payload: text, failure });
  else void sealOutcome(text);

  async function sealOutcome(open: string): Promise<void> {
    try {
      done({ text: open, payload: await codec.seal(open, context), failure });
    } catch (error) {
      onTrouble(`${what} could not be sealed by the codec chain; its body will run again.`, error);
    }
  }
}
