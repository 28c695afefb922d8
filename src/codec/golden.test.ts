// One file for each version of the format that was ever released. A file is never edited: what is stored must stay readable.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { graphDifference } from "../../test/support/same-graph.js";
import { TimeoutError } from "../errors.js";
import { codecChain } from "./codec-chain.js";
import { compression } from "./compression.js";
import { encryption } from "./encryption.js";
import { jsonCodec } from "./json-codec.js";

class CardDeclined extends Error {
  readonly decline = "insufficient_funds";
}

const shared = { sku: "a1" };
const cycle: Record<string, unknown> = { name: "loop" };
cycle["self"] = cycle;

const fixed = <E extends Error>(error: E, more: object = {}): E =>
  Object.assign(Object.defineProperty(error, "stack", { value: `${error.name}: ${error.message}` }), more);

/** The values behind the lines of `golden/v1.txt`. */
const values: Readonly<Record<string, unknown>> = {
  plain: { id: 7, ok: true, none: null, list: [1.5, "ä\u0000\ud800"], $key: "kept" },
  undefined: undefined,
  properties: { note: undefined, $tag: 1, $$twice: 2 },
  numbers: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0],
  bigint: -123456789012345678901234567890n,
  dates: [new Date("2026-01-31T09:00:00.000Z"), new Date(Number.NaN), new Date(-1e15)],
  collections: new Map<unknown, unknown>([
    ["set", new Set([1, "1"])],
    [{ key: 1 }, new Map()],
  ]),
  holes: Object.assign(new Array<number>(3), { 1: 5 }),
  bytes: [new Uint8Array([0, 255, 7]), new Uint8Array([1, 2]).buffer, new DataView(new Uint8Array([3]).buffer)],
  arrays: [
    new Int8Array([-1]),
    new Uint8ClampedArray([1]),
    new Int16Array([-2]),
    new Uint16Array([2]),
    new Int32Array([-3]),
    new Uint32Array([3]),
  ],
  wide: [new Float32Array([0.5]), new Float64Array([-0.1]), new BigInt64Array([-4n]), new BigUint64Array([4n])],
  web: [new URL("https://example.com/a?b=c#d"), /a\/b/giu],
  bare: Object.assign(Object.create(null) as object, { a: 1, $b: 2 }),
  envelope: { $perdure: 1, value: { $const: "NaN" } },
  proto: JSON.parse('{"a":{"__proto__":{"b":1}},"c":null}') as unknown,
  shared: { first: shared, again: [shared] },
  cycle,
  error: fixed(new TypeError("boom", { cause: fixed(new RangeError("inner")) }), { code: "E_BOOM", $x: 1 }),
  aggregate: fixed(new AggregateError([fixed(new Error("one")), "two"], "both")),
  registered: fixed(new CardDeclined("no")),
  timeout: fixed(new TimeoutError("too slow", { details: { ms: 5 } })),
  abort: fixed(new DOMException("stopped", "AbortError")),
};

const codec = jsonCodec({ errors: [CardDeclined] });
const linesOf = (file: string): [name: string, text: string][] =>
  readFileSync(new URL(`./golden/${file}`, import.meta.url), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]);

describe("format 1", () => {
  const lines = linesOf("v1.txt");

  it("has a line for each kind of value", () => {
    expect(lines.map(([name]) => name)).toEqual(Object.keys(values));
  });

  it.each(lines)("%s", (name, text) => {
    expect(graphDifference(codec.decode(text), values[name])).toBeUndefined();
    expect(codec.encode(values[name], name)).toBe(text);
  });
});

describe("chain format 1", () => {
  const keys = { "2026-01": new Uint8Array(32).map((_, i) => i) };
  const chain = codecChain(codec, [compression(), encryption({ keys, current: "2026-01" })]);

  it.each(linesOf("chain-v1.txt"))("%s", async (field, hex) => {
    const text = await chain.open(Buffer.from(hex, "hex"), { workflowId: "golden", field });
    expect(codec.decode(text)).toEqual(field === "gzip" ? "golden ".repeat(200) : { secret: 42n });
  });
});
