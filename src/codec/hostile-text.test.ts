import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isPerdureError } from "../errors.js";
import { inputHash } from "./input-hash.js";
import { jsonCodec } from "./json-codec.js";

const codec = jsonCodec();

/** Everything reachable from the language's own objects that a decoder could spoil. */
const guarded = [Object, Array, Map, Set, Date, Error, TypeError, RegExp, URL, Uint8Array, ArrayBuffer, String, Number, Function].flatMap(
  (type) => [type, type.prototype as object],
);
const fingerprint = (): string =>
  guarded
    .map((object) => Reflect.ownKeys(object).map(String).join() + String(Object.getPrototypeOf(object) === Object.prototype))
    .join(";");

const allowedPrototypes = new Set<object | null>([null, ...guarded]);

function checkPrototypes(value: unknown, seen: Set<object>): void {
  if (typeof value !== "object" || value === null || seen.has(value)) return;
  seen.add(value);
  const prototype = Object.getPrototypeOf(value) as object | null;
  const known = allowedPrototypes.has(prototype) || value instanceof Error || ArrayBuffer.isView(value);
  expect(known).toBe(true);
  if (value instanceof Map) for (const part of [...value].flat()) checkPrototypes(part, seen);
  else if (value instanceof Set) for (const part of value) checkPrototypes(part, seen);
  else if (!ArrayBuffer.isView(value)) for (const key of Object.keys(value)) checkPrototypes((value as Record<string, unknown>)[key], seen);
}

/** Decodes text that nobody vouches for; true if it was accepted. */
function decodeSafely(text: string): boolean {
  const before = fingerprint();
  let accepted = true;
  try {
    const value = codec.decode(text);
    checkPrototypes(value, new Set());
  } catch (error) {
    if (!isPerdureError(error, "undecodable")) throw error;
    accepted = false;
  }
  expect(fingerprint()).toBe(before);
  return accepted;
}

const envelope = (inner: unknown): string => `{"$perdure":1,"value":${JSON.stringify(inner)}}`;

const tags = [
  "$const",
  "$bigint",
  "$date",
  "$map",
  "$set",
  "$bare",
  "$bytes",
  "$binary",
  "$url",
  "$regexp",
  "$error",
  "$ref",
  "$id",
  "$future",
  "$$x",
];
const words = [
  "NaN",
  "hole",
  "undefined",
  "-0",
  "12",
  "AQID",
  "Float64Array",
  "constructor",
  "__proto__",
  "TypeError",
  "DOMException",
  "perdure/TimeoutError",
  "https://a.b/",
];
const keys = [
  ...tags,
  "of",
  "name",
  "message",
  "stack",
  "class",
  "cause",
  "errors",
  "props",
  "dropped",
  "__proto__",
  "constructor",
  "prototype",
  "a",
];

/** JSON that is nearly a tagged value. */
const { tagged } = fc.letrec<{ tagged: unknown }>((tie) => ({
  tagged: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.oneof(fc.constantFrom<unknown>(...words), fc.integer({ min: -1, max: 4 }), fc.constantFrom(null, true)),
    fc.array(tie("tagged"), { maxLength: 3 }),
    fc.tuple(fc.constantFrom(...tags), tie("tagged")).map(([tag, content]) => ({ [tag]: content })),
    fc.tuple(fc.integer({ min: 0, max: 3 }), tie("tagged")).map(([id, of]) => ({ $id: id, of })),
    fc.array(fc.tuple(fc.constantFrom(...keys), tie("tagged")), { maxLength: 4 }).map((pairs) => {
      const object: Record<string, unknown> = {};
      for (const [key, value] of pairs) Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
      return object;
    }),
    tie("tagged").map((cause) => ({ $error: { name: "E", message: "m", cause, props: { a: cause } } })),
  ),
}));

describe("whatever is stored, decoding gives a value or `undecodable`, and touches no prototype", () => {
  it("any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        decodeSafely(text);
        decodeSafely(`{"$perdure":1,"value":${text}}`);
        decodeSafely(`{"$perdure":${text}`);
      }),
      { numRuns: 1000 },
    );
  });

  it("any JSON, and nearly tagged JSON, of which enough is accepted to mean something", () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.json(), tagged, (json, value) => {
        decodeSafely(json);
        decodeSafely(`{"$perdure":1,"value":${json}}`);
        if (decodeSafely(envelope(value))) accepted++;
      }),
      { numRuns: 3000 },
    );
    expect(accepted).toBeGreaterThan(300);
  });

  it("mutations of valid text", () => {
    const error = Object.assign(new TypeError("x", { cause: new DOMException("y", "AbortError") }), { code: 5 });
    const shared = { a: new Map<unknown, unknown>([[1, new Set([2n])]]) };
    const text = codec.encode(
      { shared, again: shared, d: new Date(0), b: new Float64Array([1]), r: /a/g, u: new URL("https://a.b/"), error, h: [undefined, -0] },
      "x",
    );
    const piece = fc.oneof(
      fc.constantFrom(...words, ...keys),
      fc.string({ maxLength: 3 }),
      fc.constantFrom('"', "{", "}", "[", "]", ",", ":", "1", "$"),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(text.length), fc.nat(8), piece), { minLength: 1, maxLength: 3 }), (edits) => {
        let mutated = text;
        for (const [at, length, insert] of edits) mutated = mutated.slice(0, at) + insert + mutated.slice(at + length);
        decodeSafely(mutated);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ["unknown tag", '{"$future":1}'],
    ["unknown constant", '{"$const":"yes"}'],
    ["tag beside another key", '{"$date":null,"a":1}'],
    ["tag among properties", '{"$bare":{"$x":1}}'],
    ["hole outside an array", '{"a":{"$const":"hole"}}'],
    ["reference to nothing", '[{"$ref":1}]'],
    ["reference before its definition", '[{"$ref":1},{"$id":1,"of":[]}]'],
    ["id twice", '[{"$id":1,"of":[]},{"$id":1,"of":[]}]'],
    ["id in an id", '{"$id":1,"of":{"$id":2,"of":[]}}'],
    ["id for a primitive", '{"$id":1,"of":5}'],
    ["id for a bigint", '{"$id":1,"of":{"$bigint":"5"}}'],
    ["id that is no number", '{"$id":"1","of":[]}'],
    ["bigint that is none", '{"$bigint":"0x10"}'],
    ["date in another notation", '{"$date":"2020-01-01"}'],
    ["base64 that is none", '{"$bytes":"A Q="}'],
    ["bytes that fill no element", '{"$binary":["Float64Array","AQID"]}'],
    ["view of an unknown kind", '{"$binary":["Function","AQID"]}'],
    ["regular expression that is none", '{"$regexp":["(","g"]}'],
    ["URL that is none", '{"$url":"nowhere"}'],
    ["map with one key twice", '{"$map":[[1,2],[1,3]]}'],
    ["map of no pairs", '{"$map":[[1]]}'],
    ["error without a message", '{"$error":{"name":"E"}}'],
    ["error with an unknown field", '{"$error":{"name":"E","message":"m","extra":1}}'],
    ["error with a message among its properties", '{"$error":{"name":"E","message":"m","props":{"message":1}}}'],
    ["error with __proto__", '{"$error":{"name":"E","message":"m","__proto__":{"a":1}}}'],
  ])("%s", (_name, inner) => {
    expect(decodeSafely(`{"$perdure":1,"value":${inner}}`)).toBe(false);
  });

  it("a newer format says so; other envelopes are damaged", () => {
    expect(() => codec.decode('{"$perdure":2,"blob":"x"}')).toThrow(/format 2; this version of perdure reads formats up to 1/);
    for (const text of ['{"$perdure":1}', '{"$perdure":"1","value":1}', '{"$perdure":0,"value":1}', '{"$perdure":1,"value":1,"x":2}', ""]) {
      expect(decodeSafely(text)).toBe(false);
    }
  });

  it("a `__proto__` key is an own property, in tagged text and in the properties of errors", () => {
    const inner =
      '{"a":{"__proto__":{"admin":{"$const":"undefined"}}},"e":{"$error":{"name":"E","message":"m","props":{"__proto__":{"admin":1}}}}}';
    const value = codec.decode(`{"$perdure":1,"value":${inner}}`) as { a: object; e: Error };
    expect(Object.getOwnPropertyNames(value.a)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(value.a)).toBe(Object.prototype);
    expect(Object.getPrototypeOf(value.e)).toBe(Error.prototype);
    expect("admin" in value.a || "admin" in value.e).toBe(false);
  });

  it("hostile depth, with and without brackets in strings", () => {
    const deep = (open: string, close: string, levels: number) => `${open.repeat(levels)}1${close.repeat(levels)}`;
    for (const text of [
      deep("[", "]", 100_000),
      deep('{"]":', "}", 100_000),
      deep('{"\\"]":', "}", 100_000),
      deep('{"$set":[', "]}", 50_000),
    ]) {
      expect(decodeSafely(text)).toBe(false);
      expect(decodeSafely(`{"$perdure":1,"value":${text}}`)).toBe(false);
      expect(() => inputHash(text)).toThrow(expect.objectContaining({ code: "undecodable" }));
    }
    expect(codec.decode(JSON.stringify("[".repeat(100_000)))).toHaveLength(100_000);
    expect(codec.decode(`[${deep("[", "]", 1000)},${'["]"],'.repeat(5000)}1]`)).toHaveLength(5002);
  });

  it("a message never quotes the stored text", () => {
    for (const text of [
      '{"password":"hunter2"',
      '{"$perdure":1,"value":{"$url":"hunter2"}}',
      '{"$perdure":1,"value":{"$hunter2":1}}',
      "hunter2",
    ]) {
      try {
        codec.decode(text);
        expect.unreachable();
      } catch (error) {
        expect(JSON.stringify([String(error), (error as Error).cause, error])).not.toContain("hunter2");
      }
    }
  });
});
