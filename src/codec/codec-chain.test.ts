import { webcrypto } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codecChain } from "./codec-chain.js";
import type { Codec, Payload, PayloadCodec } from "./codec.js";
import { compression } from "./compression.js";
import { encryption } from "./encryption.js";
import { jsonCodec } from "./json-codec.js";

const context = { workflowId: "order-1", field: "input" };
const undecodable = expect.objectContaining({ code: "undecodable" }) as Error;
const keyOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const encrypted = (options = {}): Codec => codecChain(jsonCodec(), [encryption({ keys: { a: keyOf(1) }, current: "a", ...options })]);
const bytesOf = (payload: Payload): Uint8Array => (typeof payload === "string" ? expect.unreachable("text") : payload);
const holds = (payload: Payload, text: string): boolean => Buffer.from(bytesOf(payload)).includes(text);

describe("without links", () => {
  const plain = codecChain(jsonCodec());
  it("a payload is its text, and nothing waits", async () => {
    expect(plain.sync).toBe(true);
    expect(plain.openSync(plain.encode({ a: 1 }, "x"), context)).toBe('{"a":1}');
    expect(await plain.sealAll([{ text: "1", context }])).toEqual(["1"]);
    expect(await plain.openAll([{ payload: "1", context }])).toEqual(["1"]);
  });

  it("bytes name the links that they need", async () => {
    const payload = await encrypted().seal("1", context);
    for (const open of [async () => plain.openSync(payload, context), () => plain.open(payload, context)]) {
      await expect(open()).rejects.toThrow(/payload input of workflow "order-1".*aes-256-gcm/);
    }
  });
});

describe("compression", () => {
  const chain = codecChain(jsonCodec(), [compression({ thresholdBytes: 100 })]);
  const large = JSON.stringify("ab".repeat(500));

  it("leaves small payloads readable, and those that would grow", async () => {
    expect([99, 100].map((size) => "x".repeat(size)).map((text) => chain.seal(text, context))).toHaveLength(2);
    expect(await chain.seal("x".repeat(99), context)).toBe("x".repeat(99));
    expect(await chain.seal("x".repeat(100), context)).toBeInstanceOf(Uint8Array);
    const random = JSON.stringify(Buffer.from(webcrypto.getRandomValues(new Uint8Array(90))).toString("base64"));
    expect(await chain.seal(random, context)).toBe(random);
  });

  it("makes larger ones smaller, as gzip that other tools read", async () => {
    const payload = bytesOf(await chain.seal(large, context));
    expect(payload.length).toBeLessThan(100);
    expect(await chain.open(payload, context)).toBe(large);
    expect(gunzipSync(payload.subarray(payload.indexOf(0x1f))).toString()).toBe(large);
  });

  it("reads payloads from before it was introduced", async () => {
    expect(await chain.open(large, context)).toBe(large);
  });

  it("stops at bombs, exactly", async () => {
    const payload = await chain.seal(large, context);
    const bounded = (maxBytes: number) => codecChain(jsonCodec(), [compression({ maxBytes })]).open(payload, context);
    expect(await bounded(large.length)).toBe(large);
    await expect(bounded(large.length - 1)).rejects.toThrow(/more than 1001 bytes/);
    const bomb = gzipSync(new Uint8Array(64 * 1024 * 1024));
    await expect(Promise.resolve(compression({ maxBytes: 1024 * 1024 }).decode(bomb, context))).rejects.toEqual(undecodable);
  });

  it("refuses wrong options", () => {
    for (const options of [{ level: 0 }, { level: 10 }, { thresholdBytes: -1 }, { maxBytes: 0.5 }]) {
      expect(() => compression(options)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
    }
  });
});

describe("encryption", () => {
  it("gives back what it hid, each time in other bytes", async () => {
    const chain = encrypted();
    const [one, two] = await chain.sealAll([1, 2].map(() => ({ text: '"canary"', context })));
    expect(chain.sync).toBe(false);
    expect(holds(one as Payload, "canary")).toBe(false);
    expect(Buffer.compare(bytesOf(one as Payload), bytesOf(two as Payload))).not.toBe(0);
    expect(await chain.openAll([one, two].map((payload) => ({ payload: payload as Payload, context })))).toEqual(['"canary"', '"canary"']);
  });

  it("is bound to workflow id and field", async () => {
    const chain = encrypted();
    const payload = await chain.seal("1", { workflowId: "a", field: "b" });
    for (const other of [
      { workflowId: "b", field: "b" },
      { workflowId: "a", field: "a" },
      { workflowId: "ab", field: "" },
      { workflowId: 'a","b', field: "" },
    ]) {
      await expect(chain.open(payload, other)).rejects.toThrow(/copied from another workflow or field/);
    }
  });

  it("notices a change of any bit", async () => {
    const chain = encrypted();
    const payload = bytesOf(await chain.seal('"text"', context));
    for (let at = 0; at < payload.length * 8; at++) {
      const changed = payload.slice();
      changed[at >> 3] = (changed[at >> 3] as number) ^ (1 << (at & 7));
      await expect(chain.open(changed, context), `bit ${at}`).rejects.toEqual(undecodable);
    }
    for (let length = 0; length < payload.length; length++)
      await expect(chain.open(payload.subarray(0, length), context)).rejects.toEqual(undecodable);
  });

  it("rotates keys", async () => {
    const before = encrypted();
    const during = encrypted({ keys: { a: keyOf(1), b: keyOf(2) }, current: "b" });
    const after = encrypted({ keys: { b: keyOf(2) }, current: "b" });
    const old = await before.seal("1", context);
    const renewed = await during.seal(await during.open(old, context), context);
    expect(await after.open(renewed, context)).toBe("1");
    await expect(after.open(old, context)).rejects.toThrow(/key "a", which this process does not have/);
    await expect(encrypted({ keys: { a: keyOf(3) } }).open(old, context)).rejects.toEqual(undecodable);
    await expect(encrypted({ keys: { constructor: keyOf(1) }, current: "constructor" }).open(old, context)).rejects.toEqual(undecodable);
  });

  it("does not believe unencrypted payloads, unless told to", async () => {
    const forged = ['"forged"', Uint8Array.of(0x50, 0x44, 0x52, 1, 0, ...Buffer.from('"forged"'))];
    const zipped = await codecChain(jsonCodec(), [compression({ thresholdBytes: 0 })]).seal(JSON.stringify("x".repeat(99)), context);
    const both = (options = {}) =>
      codecChain(jsonCodec(), [compression(), encryption({ keys: { a: keyOf(1) }, current: "a", ...options })]);
    for (const payload of [...forged, zipped]) {
      await expect(both().open(payload, context)).rejects.toThrow(/acceptUnencrypted/);
      expect(await both({ acceptUnencrypted: true }).open(payload, context)).toMatch(/^"(?:forged|x+)"$/);
    }
    expect(() => encrypted().openSync('"forged"', context)).toThrow(undecodable);
  });

  it("takes a CryptoKey, and keeps its own copy of bytes", async () => {
    const key = await webcrypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
    const chain = encrypted({ keys: { a: key } });
    expect(await chain.open(await chain.seal("1", context), context)).toBe("1");
    const bytes = keyOf(1);
    const wiped = encrypted({ keys: { a: bytes } });
    bytes.fill(0);
    expect(await wiped.open(await encrypted().seal("1", context), context)).toBe("1");
  });

  it("refuses keys that do not fit", async () => {
    const short = await webcrypto.subtle.generateKey({ name: "AES-GCM", length: 128 }, false, ["encrypt", "decrypt"]);
    const reader = await webcrypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["decrypt"]);
    const wrong = [
      { a: new Uint8Array(16) },
      { b: keyOf(1) },
      { a: short },
      { a: reader },
      { "": keyOf(1), a: keyOf(1) },
      { ["k".repeat(65)]: keyOf(1), a: keyOf(1) },
    ];
    for (const keys of wrong) expect(() => encrypted({ keys })).toThrow(expect.objectContaining({ code: "invalid_argument" }));
    expect(() => encrypted({ keys: { a: keyOf(1), old: reader } })).not.toThrow();
  });
});

describe("chains", () => {
  it("compress before they encrypt, and read it all back", async () => {
    const chain = codecChain(jsonCodec(), [compression({ thresholdBytes: 64 }), encryption({ keys: { a: keyOf(1) }, current: "a" })]);
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary", maxLength: 300 }), fc.string(), fc.string(), async (value, workflowId, field) => {
        const text = chain.encode(value, "x");
        const payload = await chain.seal(text, { workflowId, field });
        expect(await chain.open(payload, { workflowId, field })).toBe(text);
      }),
      { numRuns: 100 },
    );
    expect(bytesOf(await chain.seal(JSON.stringify("a".repeat(10_000)), context)).length).toBeLessThan(200);
  });

  it("answer any bytes with `undecodable`", async () => {
    const chain = codecChain(jsonCodec(), [compression(), encryption({ keys: { a: keyOf(1) }, current: "a", acceptUnencrypted: true })]);
    const header = [0x50, 0x44, 0x52, 1];
    const start = fc.constantFrom(
      [],
      header,
      [...header, 1, 4, ...Buffer.from("gzip")],
      [...header, 1, 11, ...Buffer.from("aes-256-gcm"), 1, 1, 97],
    );
    await fc.assert(
      fc.asyncProperty(start, fc.uint8Array({ maxLength: 60 }), async (prefix, rest) => {
        await chain.open(Uint8Array.from([...prefix, ...rest]), context).catch((error: unknown) => {
          expect(error).toEqual(undecodable);
        });
      }),
      { numRuns: 400 },
    );
  });

  it("take links of one's own, under proper names", async () => {
    const turn: PayloadCodec = {
      name: "turn",
      optional: false,
      encode: (bytes) => bytes.toReversed(),
      decode: (bytes) => bytes.toReversed(),
    };
    const chain = codecChain(jsonCodec(), [turn]);
    expect(await chain.open(await chain.seal("123", context), context)).toBe("123");
    for (const name of ["", "Turn", "x".repeat(33)])
      expect(() => codecChain(jsonCodec(), [{ ...turn, name }])).toThrow(expect.objectContaining({ code: "invalid_argument" }));
    expect(() => codecChain(jsonCodec(), [turn, turn])).toThrow(expect.objectContaining({ code: "invalid_argument" }));
    await expect(codecChain(jsonCodec(), [{ ...turn, encode: (bytes) => bytes }]).seal("1", context)).rejects.toEqual(
      expect.objectContaining({ code: "internal" }),
    );
  });
});
