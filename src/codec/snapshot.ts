import type { ValueCodec } from "./codec.js";

/** A value as it is stored, and as everybody is to see it from now on. */
export interface Snapshot {
  readonly text: string;
  /** The decoded copy; immutable primitives are themselves. */
  readonly value: unknown;
}

/**
 * Encodes a value and gives the copy that replay will give: live code must see that one too, or a Buffer that is a Uint8Array on replay makes two different runs.
 * @throws PerdureError `unserializable`, `payload_too_large`
 */
export function snapshot(codec: ValueCodec, value: unknown, what: string): Snapshot {
  const text = codec.encode(value, what);
  return { text, value: (typeof value === "object" && value !== null) || typeof value === "function" ? codec.decode(text) : value };
}

/** The decoded copy alone. */
export function roundTrip(codec: ValueCodec, value: unknown, what: string): unknown {
  return snapshot(codec, value, what).value;
}
