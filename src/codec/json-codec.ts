import { isPerdureError, PerdureError } from "../errors.js";
import type { ValueCodec } from "./codec.js";
import { damaged } from "./decode-walk.js";
import { decodeTagged } from "./decode-tagged.js";
import { encodeTagged } from "./encode-tagged.js";
import { encodeWalk } from "./encode-walk.js";
import type { ErrorClass, ErrorRegistry } from "./error-registry.js";
import { errorRegistry, isErrorLike } from "./error-registry.js";
import { asError, barest } from "./failure.js";
import type { Json } from "./format.js";
import { envelopeStart, formatVersion, undefinedText } from "./format.js";
import type { CodecLimits } from "./limits.js";
import { codecLimits, withinBytes } from "./limits.js";
import { isPlain, isTooDeep } from "./plain.js";

export interface JsonCodecOptions {
  /** Error classes that come back as instances of themselves. */
  readonly errors?: readonly ErrorClass[];
  readonly limits?: Partial<CodecLimits>;
}

/**
 * The default codec: readable JSON, with tags for what JSON cannot say (see docs/payloads.md).
 * @example
 * const codec = jsonCodec({ errors: [CardDeclined] });
 * codec.decode(codec.encode({ at: new Date(0), tags: new Set(["a"]) }, "the input"));
 * @throws PerdureError `invalid_argument` for wrong options
 */
export function jsonCodec(options: JsonCodecOptions = {}): ValueCodec {
  const limits = codecLimits(options.limits);
  const registry = errorRegistry(options.errors);
  return {
    encode: (value, what) => encode(value, what, registry, limits),
    decode: (text) => decode(text, registry),
    encodeError(thrown) {
      const what = "an error";
      try {
        return encode(
          asError(thrown, (value) => encode(value, what, registry, limits)),
          what,
          registry,
          limits,
        );
      } catch {
        return encodeTagged(encodeWalk(what, registry, { ...limits, maxBytes: Number.MAX_SAFE_INTEGER }), barest(thrown));
      }
    },
    decodeError(text) {
      const error = decode(text, registry);
      return isErrorLike(error) ? error : damaged("something else where an error belongs");
    },
  };
}

function encode(value: unknown, what: string, registry: ErrorRegistry, limits: CodecLimits): string {
  const text = encodePlain(value, limits);
  return text === undefined ? encodeTagged(encodeWalk(what, registry, limits), value) : withinBytes(text, limits, what);
}

/** The text of a plain value; undefined for any other. */
function encodePlain(value: unknown, limits: CodecLimits): string | undefined {
  switch (typeof value) {
    case "undefined":
      return undefinedText;
    case "string":
      return value.length <= limits.maxBytes ? JSON.stringify(value) : undefined;
    case "boolean":
      return value ? "true" : "false";
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0) ? String(value) : undefined;
    case "object":
      return value === null ? "null" : encodePlainObject(value, limits);
    default:
      return undefined;
  }
}

function encodePlainObject(value: object, limits: CodecLimits): string | undefined {
  try {
    if (!isPlain(value, limits)) return undefined;
    const text = JSON.stringify(value);
    return text.startsWith(envelopeStart) ? undefined : text;
  } catch {
    return undefined; // something throws when it is read: the tagging walk says where
  }
}

function decode(text: string, registry: ErrorRegistry): unknown {
  if (text === undefinedText) return undefined;
  if (typeof text !== "string") return damaged("bytes where text belongs");
  if (isTooDeep(text)) return damaged("deeper nesting than is ever written");
  let parsed: Json;
  try {
    parsed = JSON.parse(text) as Json;
  } catch {
    return damaged("text that is not JSON"); // without the cause: its message quotes the text
  }
  return text.startsWith(envelopeStart) ? decodeEnvelope(parsed, registry) : parsed;
}

function decodeEnvelope(envelope: Json, registry: ErrorRegistry): unknown {
  if (typeof envelope !== "object" || envelope === null || Array.isArray(envelope)) return damaged("no envelope");
  const version = envelope["$perdure"];
  if (version !== formatVersion) {
    if (typeof version !== "number" || !Number.isSafeInteger(version) || version < 1) return damaged("an envelope without a version");
    const message = `A stored payload has format ${version}; this version of perdure reads formats up to ${formatVersion}. Update perdure in this process.`;
    throw new PerdureError("undecodable", message, { details: { version } });
  }
  const value = envelope["value"];
  if (value === undefined || Object.keys(envelope).length !== 2) return damaged("an envelope of another shape");
  try {
    return decodeTagged({ registry, refs: new Map() }, value);
  } catch (error) {
    if (isPerdureError(error, "undecodable")) throw error;
    return damaged("a value that cannot be built here"); // e.g. too little stack left, or memory
  }
}
