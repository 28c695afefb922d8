/**
 * The codec room: values ⇄ what a backend stores, in two stages that never mix.
 *
 *   value ──encode──▶ text ──seal──▶ payload          value ◀──decode── text ◀──open── payload
 *         synchronous       may wait                        synchronous      may wait
 *
 * 1. A {@link ValueCodec} turns a value into readable text and back. It is synchronous on purpose: an argument is snapshotted at the call, so what its
 *    owner does to it later does not matter, and a turn of workflow code can decode without leaving its drain.
 * 2. A chain of {@link PayloadCodec} links (compression, encryption) turns text into bytes. It may be asynchronous, so it runs after a body and before a
 *    turn, never inside one. Without links a payload *is* its text and nothing waits (`codec.sync`).
 *
 * What always holds here:
 * - decode(encode(value)) is deeply equal to value, identities and cycles included, or encode throws `unserializable` with the path of the culprit.
 *   The one exception are errors: a property of an error that cannot be stored is left out and noted, because reporting a failure must not fail.
 * - live code is given the decoded copy too, so a run sees the same values live and on replay.
 * - whatever the stored text or bytes are, decoding returns a value or throws `undecodable`. It runs no user code, and no prototype is ever touched.
 * - a format that was written once is read forever: `golden.test.ts` holds one file for each version.
 *
 * Absent: `v8.deserialize` (bound to one runtime version, a native parser on stored bytes), class lookup by a stored name outside the {@link ErrorRegistry}, `toJSON`.
 */
/** What a backend stores: a string is readable text, bytes are what a codec chain made of it. */
export type Payload = string | Uint8Array;

/** Where a payload belongs. Encryption binds it to the bytes, so that a payload copied to another run or field does not open. */
export interface PayloadContext {
  readonly workflowId: string;
  /** The place within the run: `input`, `result`, `step:3`, … Any text, but the same for writing and reading. */
  readonly field: string;
}

/** The first stage: values ⇄ text, synchronously. {@link jsonCodec} is the default one. */
export interface ValueCodec {
  /**
   * The text of a value, as it is now.
   * @param what names the value in errors: `the result of step "charge"`.
   * @throws PerdureError `unserializable` with the path of the culprit, `payload_too_large`
   */
  encode(value: unknown, what: string): string;
  /** @throws PerdureError `undecodable` */
  decode(text: string): unknown;
  /** The text of anything that was thrown. Never throws: what of it cannot be stored is left out and noted in the text. */
  encodeError(thrown: unknown): string;
  /**
   * The error in a text written by `encodeError`.
   * @throws PerdureError `undecodable`
   */
  decodeError(text: string): Error;
}

/** A link of the second stage: bytes → bytes. `compression()` and `encryption()` are the ones that come with perdure. */
export interface PayloadCodec {
  /** Stored with each payload, to find the link again: 1 to 32 of `a-z 0-9 -`, unique in its chain. Never rename a link whose payloads are stored. */
  readonly name: string;
  /** May a payload that was stored without this link be read? True for compression; an encryption that says true can be bypassed by whoever can write to the store. */
  readonly optional: boolean;
  /** Returns the same object to say "better left alone" (only an optional link may). */
  encode(bytes: Uint8Array, context: PayloadContext): Promise<Uint8Array> | Uint8Array;
  decode(bytes: Uint8Array, context: PayloadContext): Promise<Uint8Array> | Uint8Array;
}

/** A text with the place it belongs to. */
export interface TextItem {
  readonly text: string;
  readonly context: PayloadContext;
}

/** A payload with the place it belongs to. */
export interface PayloadItem {
  readonly payload: Payload;
  readonly context: PayloadContext;
}

/** Both stages. The engine encodes and decodes values synchronously, and seals and opens only if `sync` is false. */
export interface Codec extends ValueCodec {
  /** True: there are no links. A text is its payload, and `openSync` reads what is stored. */
  readonly sync: boolean;
  seal(text: string, context: PayloadContext): Promise<Payload>;
  /** @throws PerdureError `undecodable` */
  open(payload: Payload, context: PayloadContext): Promise<string>;
  /** In the order of `items`. Rejects as a whole; call it once for each run, so that one run's trouble stays its own. */
  sealAll(items: readonly TextItem[]): Promise<Payload[]>;
  openAll(items: readonly PayloadItem[]): Promise<string[]>;
  /**
   * `open` for a chain without links.
   * @throws PerdureError `undecodable` for bytes, which need the links that made them
   */
  openSync(payload: Payload, context: PayloadContext): string;
}
