import { webcrypto } from "node:crypto";
import { PerdureError } from "../errors.js";
import { unopened } from "./codec-chain.js";
import type { PayloadCodec, PayloadContext } from "./codec.js";

type SubtleKey = Parameters<typeof webcrypto.subtle.encrypt>[1];

/** The part of a `CryptoKey` that is looked at, so that these types need neither the DOM's nor Node's. */
export interface AesKey {
  readonly type: string;
  readonly algorithm: { readonly name: string };
  readonly usages: readonly string[];
}

export interface EncryptionOptions {
  /** By key id: 32 bytes, or a `CryptoKey` for AES-GCM with 256 bits. Ids are stored with each payload: not secret, at most 64 bytes, never reused for another key. */
  readonly keys: Readonly<Record<string, Uint8Array | AesKey>>;
  /** The id of the key that encrypts. The others only decrypt. */
  readonly current: string;
  /**
   * Also read payloads that were stored without encryption. For the time after encryption was switched on over existing data; while it is true, whoever can write to the
   * store can pass off plain payloads of their own. Default false.
   */
  readonly acceptUnencrypted?: boolean;
}

const version = 1;
const nonceBytes = 12;

/**
 * A link that encrypts with AES-256-GCM, bound to workflow id and field: a payload that is changed, or copied to another place, does not open.
 * To rotate, add a key to every process, then make it `current`, and remove the old one when nothing stored uses it any more.
 * @example encryption({ keys: { "2025": oldKey, "2026": newKey }, current: "2026" })
 * @throws PerdureError `invalid_argument` for wrong keys
 */
export function encryption(options: EncryptionOptions): PayloadCodec {
  const keys = new Map(Object.entries(options.keys).map(([id, key]) => [id, importer(id, key, id === options.current)]));
  const current = keys.get(options.current);
  if (current === undefined)
    throw new PerdureError(
      "invalid_argument",
      `encryption: \`current\` is ${JSON.stringify(options.current)}, and there is no key with this id.`,
    );
  const currentHeader = keyHeader(options.current);
  return {
    name: "aes-256-gcm",
    optional: options.acceptUnencrypted ?? false,
    async encode(bytes, context) {
      // Always the system's generator: with a nonce that repeats, as a seeded one's do, GCM gives away the plain text and its own authentication.
      const nonce = webcrypto.getRandomValues(new Uint8Array(nonceBytes));
      const sealed = await webcrypto.subtle.encrypt(
        { name: "AES-GCM", iv: nonce, additionalData: boundTo(currentHeader, context) },
        await current(),
        exact(bytes),
      );
      return joined(currentHeader, nonce, new Uint8Array(sealed));
    },
    async decode(bytes, context) {
      const { id, header, rest } = readKeyHeader(bytes, context);
      const key = keys.get(id);
      if (key === undefined)
        throw unopened(
          context,
          `it was encrypted with the key ${JSON.stringify(id)}, which this process does not have. Add it to encryption's keys.`,
        );
      const aesKey = await key();
      try {
        const iv = exact(rest.subarray(0, nonceBytes));
        return new Uint8Array(
          await webcrypto.subtle.decrypt(
            { name: "AES-GCM", iv, additionalData: boundTo(header, context) },
            aesKey,
            exact(rest.subarray(nonceBytes)),
          ),
        );
      } catch {
        throw unopened(
          context,
          `it was changed, or copied from another workflow or field, or the key ${JSON.stringify(id)} is not the one that it was written with.`,
        );
      }
    },
  };
}

/** The key, imported at its first use and then kept. */
function importer(id: string, key: Uint8Array | AesKey, encrypts: boolean): () => Promise<SubtleKey> {
  const wrong = (why: string): PerdureError => new PerdureError("invalid_argument", `encryption: the key ${JSON.stringify(id)} ${why}.`);
  const idBytes = new TextEncoder().encode(id).length;
  if (idBytes === 0 || idBytes > 64) throw wrong("must have an id of 1 to 64 bytes");
  if (key instanceof Uint8Array) {
    if (key.length !== 32) throw wrong(`must have 32 bytes; it has ${key.length}`);
    const copy = Uint8Array.from(key); // taken now: whoever gave it may wipe it
    let imported: Promise<SubtleKey> | undefined;
    return () => (imported ??= webcrypto.subtle.importKey("raw", copy, "AES-GCM", false, ["encrypt", "decrypt"]));
  }
  const length = (key.algorithm as { length?: unknown } | undefined)?.length;
  if (key.type !== "secret" || key.algorithm.name !== "AES-GCM" || length !== 256)
    throw wrong("must be 32 bytes or a CryptoKey for AES-GCM with 256 bits");
  if (!key.usages.includes("decrypt") || (encrypts && !key.usages.includes("encrypt")))
    throw wrong(`must allow decrypt${encrypts ? " and encrypt" : ""}`);
  const ready = Promise.resolve(key as unknown as SubtleKey);
  return () => ready;
}

/** version, length of the key id, key id */
function keyHeader(id: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(id);
  return joined(Uint8Array.of(version, bytes.length), bytes);
}

interface KeyHeader {
  readonly id: string;
  readonly header: Uint8Array;
  readonly rest: Uint8Array;
}

function readKeyHeader(bytes: Uint8Array, context: PayloadContext): KeyHeader {
  const end = 2 + (bytes[1] ?? 0);
  if (bytes[0] !== version || bytes.length < end + nonceBytes)
    throw unopened(context, "it is damaged, or in a newer format of encryption.");
  return { id: new TextDecoder().decode(bytes.subarray(2, end)), header: bytes.subarray(0, end), rest: bytes.subarray(end) };
}

/** What is authenticated beside the text. JSON separates the two parts, so that no other pair gives the same bytes. */
function boundTo(header: Uint8Array, context: PayloadContext): Uint8Array<ArrayBuffer> {
  return joined(header, new TextEncoder().encode(JSON.stringify([context.workflowId, context.field])));
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The types of WebCrypto want bytes that are not shared; ours never are. */
const exact = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => bytes as Uint8Array<ArrayBuffer>;
