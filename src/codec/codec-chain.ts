import { PerdureError } from "../errors.js";
import type { Codec, Payload, PayloadCodec, PayloadContext, ValueCodec } from "./codec.js";

/**
 * Bytes of a chain: "PDR", version, number of links, their names in the order they were applied (each with its length), then what the last one made.
 * The names let a chain grow and links skip a payload. They are not authenticated, hence the rule in `requireLinks`.
 */
const magic = [0x50, 0x44, 0x52, 1] as const;
const maxLinks = 16;

/**
 * A value codec with the links that its text passes through, first to last; reading goes the other way. Compression before encryption, since ciphertext does not shrink.
 * Without links everything is synchronous and a payload is its text.
 * @example codecChain(jsonCodec(), [compression(), encryption({ keys: { "2026-01": key }, current: "2026-01" })])
 * @throws PerdureError `invalid_argument` for two links of one name
 */
export function codecChain(values: ValueCodec, links: readonly PayloadCodec[] = []): Codec {
  const byName = new Map<string, PayloadCodec>();
  for (const link of links) {
    if (!/^[a-z0-9-]{1,32}$/.test(link.name) || byName.has(link.name) || byName.size === maxLinks) {
      throw new PerdureError(
        "invalid_argument",
        `A codec link's name must be 1 to 32 of a-z, 0-9 and -, and unique among at most ${maxLinks} links; got ${JSON.stringify(link.name)}.`,
      );
    }
    byName.set(link.name, link);
  }
  const seal = async (text: string, context: PayloadContext): Promise<Payload> =>
    links.length === 0 ? text : sealWith(links, text, context);
  const open = async (payload: Payload, context: PayloadContext): Promise<string> =>
    typeof payload === "string" ? openText(links, payload, context) : openWith(byName, payload, context);
  return {
    ...values,
    sync: links.length === 0,
    seal,
    open,
    sealAll: (items) => Promise.all(items.map((item) => seal(item.text, item.context))),
    openAll: (items) => Promise.all(items.map((item) => open(item.payload, item.context))),
    openSync(payload, context) {
      if (typeof payload === "string") return openText(links, payload, context);
      const names = readHeader(payload, context).names;
      throw unopened(
        context,
        `it was stored through ${names.join(" and ") || "a codec chain"}, and this process has no such chain. Configure the links that wrote it.`,
      );
    },
  };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

async function sealWith(links: readonly PayloadCodec[], text: string, context: PayloadContext): Promise<Payload> {
  const applied: string[] = [];
  let bytes: Uint8Array = encoder.encode(text);
  for (const link of links) {
    const before = bytes;
    bytes = await link.encode(before, context);
    if (bytes !== before) applied.push(link.name);
    else if (!link.optional)
      throw new PerdureError("internal", `The codec link ${link.name} returned its input, which only an optional link may.`);
  }
  return applied.length === 0 ? text : withHeader(applied, bytes);
}

async function openWith(byName: ReadonlyMap<string, PayloadCodec>, payload: Uint8Array, context: PayloadContext): Promise<string> {
  const { names, body } = readHeader(payload, context);
  requireLinks(byName.values(), names, context);
  let bytes = body;
  for (const name of names.toReversed()) {
    const link = byName.get(name);
    if (link === undefined)
      throw unopened(
        context,
        `it was stored through the codec link "${name}", which is not configured in this process. Add it to the chain.`,
      );
    bytes = await link.decode(bytes, context);
  }
  try {
    return decoder.decode(bytes);
  } catch {
    throw unopened(context, "its bytes are not the text they should be.");
  }
}

function openText(links: readonly PayloadCodec[], text: string, context: PayloadContext): string {
  if (links.length > 0) requireLinks(links, [], context);
  return text;
}

/** Otherwise whoever can write to the store could replace an encrypted payload by a plain one and be believed. */
function requireLinks(links: Iterable<PayloadCodec>, applied: readonly string[], context: PayloadContext): void {
  for (const link of links) {
    if (link.optional || applied.includes(link.name)) continue;
    throw unopened(
      context,
      `it was stored without the codec link "${link.name}". If it was written before the link was introduced, let the link read such payloads (encryption: \`acceptUnencrypted: true\`).`,
    );
  }
}

function withHeader(names: readonly string[], body: Uint8Array): Uint8Array {
  const header: number[] = [...magic, names.length];
  for (const name of names) header.push(name.length, ...encoder.encode(name));
  const bytes = new Uint8Array(header.length + body.length);
  bytes.set(header);
  bytes.set(body, header.length);
  return bytes;
}

function readHeader(bytes: Uint8Array, context: PayloadContext): { readonly names: readonly string[]; readonly body: Uint8Array } {
  const names: string[] = [];
  if (magic.some((byte, i) => bytes[i] !== byte))
    throw unopened(context, "its bytes do not start like those of a codec chain, or like a newer kind of them.");
  const count = bytes[magic.length] ?? 0;
  let at = magic.length + 1;
  for (let i = 0; i < count; i++) {
    const end = at + 1 + (bytes[at] ?? 0);
    const name = String.fromCharCode(...bytes.subarray(at + 1, end));
    if (count > maxLinks || end > bytes.length || !/^[a-z0-9-]{1,32}$/.test(name)) throw unopened(context, "its header is damaged.");
    names.push(name);
    at = end;
  }
  return { names, body: bytes.subarray(at) };
}

/** The refusal of a payload, with the place it was read from. */
export function unopened(context: PayloadContext, why: string): PerdureError {
  const { workflowId, field } = context;
  return new PerdureError("undecodable", `The stored payload ${field} of workflow ${JSON.stringify(workflowId)} cannot be opened: ${why}`, {
    details: { workflowId, field },
  });
}
