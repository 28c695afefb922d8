import { PerdureError } from "../errors.js";

/** How large and how deep one value may be. They apply to writing only: what is stored stays readable when a limit is lowered. */
export interface CodecLimits {
  /** Containers within containers. Default 200, at most 400. */
  readonly maxDepth: number;
  /** Values in all, containers and leaves. Default 1,000,000. */
  readonly maxNodes: number;
  /** UTF-8 bytes of the encoded text, before compression. Default 4 MiB. */
  readonly maxBytes: number;
  /** UTF-16 units kept of an error's stack; 0 keeps none. Default 4,096. */
  readonly maxStackChars: number;
}

export const defaultLimits: CodecLimits = { maxDepth: 200, maxNodes: 1_000_000, maxBytes: 4 * 1024 * 1024, maxStackChars: 4096 };

/** The recursion of the codec is safe to here with room to spare for the caller's stack; a map level takes four levels of text. */
const depthCeiling = 400;

/** The deepest text that any allowed limit can have written; deeper text is damaged or hostile. */
export const maxTextDepth = 4 * depthCeiling + 8;

const ranges: { readonly [K in keyof CodecLimits]: readonly [number, number] } = {
  maxDepth: [1, depthCeiling],
  maxNodes: [1, Number.MAX_SAFE_INTEGER],
  maxBytes: [64, 256 * 1024 * 1024],
  maxStackChars: [0, 1024 * 1024],
};

/** The defaults with these changes. */
export function codecLimits(changes: Partial<CodecLimits> = {}): CodecLimits {
  for (const key of Object.keys(changes)) {
    if (!Object.hasOwn(ranges, key)) {
      throw new PerdureError("invalid_argument", `limits.${key} does not exist; there are ${Object.keys(ranges).join(", ")}.`);
    }
  }
  const limits = { ...defaultLimits };
  for (const key of Object.keys(ranges) as (keyof CodecLimits)[]) {
    const value = changes[key];
    if (value === undefined) continue;
    const [low, high] = ranges[key];
    if (!Number.isSafeInteger(value) || value < low || value > high) {
      throw new PerdureError("invalid_argument", `limits.${key} must be an integer from ${low} to ${high}; it is ${String(value)}.`);
    }
    limits[key] = value;
  }
  return limits;
}

/** The length of a text in UTF-8, without making the bytes. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else {
      bytes += 2;
      const next = unit >= 0xd800 && unit < 0xdc00 ? text.charCodeAt(i + 1) : 0;
      if (next >= 0xdc00 && next < 0xe000) i++;
    }
  }
  return bytes;
}

/** A refusal of a value that is too large in some measure. */
export function tooLarge(what: string, measure: string, size: string, limit: number, option: keyof CodecLimits): PerdureError {
  const message =
    `Cannot store ${what}: ${measure} is ${size}, and the limit is ${limit} (limits.${option}). ` +
    "Keep large data elsewhere (a file, an object store, a table) and store a reference to it, or raise the limit.";
  return new PerdureError("payload_too_large", message, { details: { what, measure, limit, option } });
}

/** The text, if it is not over the limit. */
export function withinBytes(text: string, limits: CodecLimits, what: string): string {
  if (text.length * 3 <= limits.maxBytes) return text;
  const bytes = utf8Length(text);
  if (bytes > limits.maxBytes) throw tooLarge(what, "its encoded size in bytes", String(bytes), limits.maxBytes, "maxBytes");
  return text;
}
