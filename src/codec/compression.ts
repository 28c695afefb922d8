import { gunzip, gzip } from "node:zlib";
import { PerdureError } from "../errors.js";
import { unopened } from "./codec-chain.js";
import type { PayloadCodec } from "./codec.js";

export interface CompressionOptions {
  /** Smaller payloads stay as they are, readable. Default 1,024 bytes. */
  readonly thresholdBytes?: number;
  /** 1 (fast) to 9 (small). Default 6. */
  readonly level?: number;
  /** What one payload may expand to when it is read, so that a few kilobytes cannot fill the memory. Default 256 MiB, the highest `limits.maxBytes`. */
  readonly maxBytes?: number;
}

/**
 * A link that stores larger payloads as gzip, off the main thread. A payload that does not get smaller stays as it is.
 * @throws PerdureError `invalid_argument` for wrong options
 */
export function compression(options: CompressionOptions = {}): PayloadCodec {
  const thresholdBytes = integer("thresholdBytes", options.thresholdBytes ?? 1024, 0, Number.MAX_SAFE_INTEGER);
  const level = integer("level", options.level ?? 6, 1, 9);
  const maxBytes = integer("maxBytes", options.maxBytes ?? 256 * 1024 * 1024, 1, 2 ** 31 - 1);
  return {
    name: "gzip",
    optional: true,
    encode(bytes) {
      if (bytes.length < thresholdBytes) return bytes;
      return new Promise((resolve, reject) => {
        gzip(bytes, { level }, (error, zipped) => {
          if (error) reject(new PerdureError("internal", "A payload could not be compressed.", { cause: error }));
          else resolve(zipped.length < bytes.length ? zipped : bytes);
        });
      });
    },
    decode(bytes, context) {
      return new Promise((resolve, reject) => {
        gunzip(bytes, { maxOutputLength: maxBytes }, (error, plain) => {
          if (!error) resolve(plain);
          else if ((error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE")
            reject(unopened(context, `it expands to more than ${maxBytes} bytes (compression's maxBytes).`));
          else reject(unopened(context, "it is damaged gzip data."));
        });
      });
    },
  };
}

function integer(name: string, value: number, low: number, high: number): number {
  if (Number.isSafeInteger(value) && value >= low && value <= high) return value;
  throw new PerdureError("invalid_argument", `compression's ${name} must be an integer from ${low} to ${high}; it is ${String(value)}.`);
}
