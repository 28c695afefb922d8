import { Buffer } from "node:buffer";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { graphDifference } from "../../test/support/same-graph.js";
import { isPerdureError, type PerdureError } from "../errors.js";
import { swapped } from "./binary.js";
import type { ErrorClass } from "./error-registry.js";
import { jsonCodec } from "./json-codec.js";

const codec = jsonCodec();
const there = (value: unknown): string => codec.encode(value, "the value");
const back = (value: unknown): unknown => codec.decode(there(value));
const envelope = (inner: string): string => `{"$perdure":1,"value":${inner}}`;

/** What a call throws; fails if it does not throw perdure's own error. */
function thrownBy(call: () => unknown): PerdureError {
  try {
    call();
  } catch (error) {
    if (isPerdureError(error)) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("what plain JSON can say is stored as plain JSON", () => {
  it.each([
    [null, "null"],
    [true, "true"],
    [0, "0"],
    [-1.5e300, "-1.5e+300"],
    ["ä\u0000\ud800", '"ä\\u0000\\ud800"'],
    [[1, [2, {}]], "[1,[2,{}]]"],
    [{ $id: 1, b: { $date: "x" } }, '{"$id":1,"b":{"$date":"x"}}'],
    [JSON.parse('{"__proto__":{"a":1}}'), '{"__proto__":{"a":1}}'],
  ])("%j", (value, text) => {
    expect(there(value)).toBe(text);
    expect(graphDifference(back(value), value)).toBeUndefined();
  });

  it("but not if the text could be taken for an envelope", () => {
    for (const value of [{ $perdure: 1, value: { $const: "NaN" } }, { $perdure: "x" }]) {
      expect(there(value)).toMatch(/^\{"\$perdure":1,"value":\{"\$\$perdure"/);
      expect(graphDifference(back(value), value)).toBeUndefined();
    }
    expect(there({ a: 1, $perdure: 1 })).toBe('{"a":1,"$perdure":1}');
  });

  it("of another realm too", () => {
    expect(there(runInNewContext("({ a: [1, { b: null }] })"))).toBe('{"a":[1,{"b":null}]}');
  });
});

describe("everything else is tagged and still readable", () => {
  it("in one line each", () => {
    const value = { at: new Date(0), n: 12n, tags: new Set(["a"]), m: new Map([[1, undefined]]), $x: -0, bytes: new Uint8Array([1, 2, 3]) };
    expect(there(value)).toBe(
      envelope(
        '{"at":{"$date":"1970-01-01T00:00:00.000Z"},"n":{"$bigint":"12"},"tags":{"$set":["a"]},"m":{"$map":[[1,{"$const":"undefined"}]]},"$$x":{"$const":"-0"},"bytes":{"$bytes":"AQID"}}',
      ),
    );
  });

  it.each([undefined, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 5n, new Date(1), Object.create(null) as unknown])(
    "also alone among plain JSON: %s",
    (value) => {
      for (const around of [value, [1, value], { a: "b", c: value }, [[[value]]]]) {
        expect(there(around)).toMatch(/^\{"\$perdure":1,/);
        expect(graphDifference(back(around), around)).toBeUndefined();
      }
    },
  );

  it("keeps only the viewed bytes of a view, and gives a Buffer back as a Uint8Array", () => {
    const pool = new Uint8Array([9, 9, 1, 2, 9, 9, 9, 9]);
    expect(there(pool.subarray(2, 4))).toBe(envelope('{"$bytes":"AQI="}'));
    expect(back(new DataView(pool.buffer, 2, 2))).toEqual(new DataView(new Uint8Array([1, 2]).buffer));
    const bytes = back(Buffer.from("hi"));
    expect(Object.getPrototypeOf(bytes)).toBe(Uint8Array.prototype);
    expect((bytes as Uint8Array).buffer.byteLength).toBe(2);
  });

  it("turns the bytes of each element around on a big-endian machine", () => {
    expect([...swapped(new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]), 4)]).toEqual([4, 3, 2, 1, 8, 7, 6, 5]);
    expect([...swapped(new Uint8Array([1, 2, 3]), 1)]).toEqual([1, 2, 3]);
  });

  it("tells holes from undefined, and keeps the length", () => {
    // oxlint-disable-next-line no-sparse-arrays
    const sparse = [, undefined, 1, ,];
    const copy = back(sparse) as unknown[];
    expect(copy.length).toBe(4);
    expect([0, 1, 2, 3].map((i) => i in copy)).toEqual([false, true, true, false]);
  });

  it("keeps cycles and identities, of leaves too", () => {
    const at = new Date(5);
    const list: unknown[] = [at, at];
    const map = new Map<unknown, unknown>([["list", list]]);
    map.set(map, { map, list });
    list.push(map);
    expect(graphDifference(back(list), list)).toBeUndefined();
    expect(there([at, at])).toBe(envelope('[{"$id":1,"of":{"$date":"1970-01-01T00:00:00.005Z"}},{"$ref":1}]'));
  });

  it("reads kinds of another realm as ours", () => {
    const copy = back(
      runInNewContext("({ d: new Date(7), m: new Map([[1, new Set([2])]]), r: /x/g, b: new Uint8Array([1]), e: new RangeError('far') })"),
    ) as {
      d: unknown;
      m: unknown;
      r: unknown;
      b: unknown;
      e: unknown;
    };
    expect([copy.d, copy.m, copy.r, copy.b]).toEqual([new Date(7), new Map([[1, new Set([2])]]), /x/g, new Uint8Array([1])]);
    expect(copy.e).toBeInstanceOf(RangeError);
  });
});

class CardDeclined extends Error {
  override readonly name = "CardDeclined";
}

/** Keys that trip codecs over. */
const keyArbitrary = fc.oneof(
  fc.string({ unit: "binary", maxLength: 6 }),
  fc.constantFrom(
    "__proto__",
    "constructor",
    "$",
    "$$",
    "$ref",
    "$id",
    "of",
    "$perdure",
    "value",
    "length",
    "then",
    "toString",
    "0",
    "hasOwnProperty",
  ),
);

const errorArbitrary = fc
  .tuple(
    fc.constantFrom<ErrorClass>(Error, TypeError, CardDeclined),
    fc.string(),
    fc.dictionary(keyArbitrary, fc.anything(), { maxKeys: 2 }),
  )
  .map(([type, message, props]) => {
    const error = new (type as new (message: string) => Error)(message);
    for (const key of Object.keys(props)) if (!["name", "message", "stack", "cause"].includes(key)) define(error, key, props[key]);
    if (message.length % 2 === 0) error.cause = props;
    return error;
  });

const define = (object: object, key: string, value: unknown): unknown =>
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });

const leafArbitrary = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string().map((text) => `${text}\ud83d`),
  fc.double(),
  fc.bigInt(),
  fc.constantFrom<unknown>(undefined, null, true, -0, Number.NaN, Number.NEGATIVE_INFINITY),
  fc.date({ noInvalidDate: false }),
  fc.webUrl().map((url) => new URL(url)),
  fc.constantFrom(/a\/b[\]/]\n/giu, /(?:)/, /\u{1f600}/u).map((pattern) => new RegExp(pattern.source, pattern.flags)),
  fc.uint8Array().map((bytes) => bytes.buffer),
  fc.uint8Array({ minLength: 4 }).map((bytes) => new DataView(bytes.buffer, 1, 3)),
  errorArbitrary,
);

const treeArbitrary = fc.anything({
  values: [leafArbitrary],
  key: keyArbitrary,
  maxDepth: 4,
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withTypedArray: true,
  withSparseArray: true,
  withNullPrototype: true,
});

/** Trees with references added between any two of their objects: shared parts and cycles. */
const graphArbitrary = fc.tuple(treeArbitrary, fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 4 })).map(([tree, links]) => {
  const objects = objectsIn(tree, new Set());
  const containers = [...objects].filter(
    (object) => !(object instanceof Date || object instanceof RegExp || object instanceof URL || isBinary(object)),
  );
  for (const [from, to] of containers.length === 0 ? [] : links)
    link(containers[from % containers.length], [...objects][to % objects.size], String(from));
  return tree;
});

const isBinary = (object: object): boolean => object instanceof ArrayBuffer || ArrayBuffer.isView(object);

function objectsIn(value: unknown, found: Set<object>): Set<object> {
  if (typeof value !== "object" || value === null || found.has(value)) return found;
  found.add(value);
  if (value instanceof Map) for (const part of [...value].flat()) objectsIn(part, found);
  else if (value instanceof Set) for (const part of value) objectsIn(part, found);
  else if (!isBinary(value)) for (const key of Object.keys(value)) objectsIn((value as Record<string, unknown>)[key], found);
  return found;
}

function link(from: object | undefined, to: object | undefined, name: string): void {
  if (from instanceof Map) from.set(to, name);
  else if (from instanceof Set) from.add(to);
  else if (Array.isArray(from)) from.push(to);
  else if (from !== undefined) define(from, `link${name}`, to);
}

describe("round trip", () => {
  const registered = jsonCodec({ errors: [CardDeclined], limits: { maxStackChars: 100_000 } });

  it("gives the same graph back for any value of the supported kinds", () => {
    fc.assert(
      fc.property(graphArbitrary, (value) => {
        const text = registered.encode(value, "the value");
        const copy = registered.decode(text);
        expect(graphDifference(copy, value)).toBeUndefined();
        expect(registered.encode(copy, "the copy")).toBe(text);
      }),
      { numRuns: 1500 },
    );
  });

  it("changes nothing about the value", () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const [value, untouched] = [seed, seed].flatMap((twice) => fc.sample(graphArbitrary, { seed: twice, numRuns: 1 }));
        there(value);
        expect(graphDifference(value, untouched)).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  it("is the plain text exactly when JSON itself gives the same graph back", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const lossless = graphDifference(JSON.parse(JSON.stringify(value)), value) === undefined;
        expect(there(value) === JSON.stringify(value)).toBe(lossless);
      }),
      { numRuns: 300 },
    );
  });
});

class Money {
  readonly cents = 5;
  toJSON(): string {
    return "0.05";
  }
}
class Tags extends Set<string> {}
class Rows extends Array<number> {}

describe("values that cannot be stored are refused with the path of the culprit", () => {
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const getter = {
    get broken(): never {
      throw new RangeError("no");
    },
  };
  it.each<[string, unknown, string, RegExp]>([
    ["function", { order: { items: [0, 1, 2, { callback: () => 1 }] } }, "$.order.items[3].callback", /function \(callback\)/],
    ["toJSON function", { toJSON: () => 1 }, "$.toJSON", /function/],
    ["symbol", [Symbol("s")], "$[0]", /symbol \(s\).*Use a string/],
    ["promise", { p: Promise.resolve(1) }, "$.p", /Promise.*Await it/],
    ["weak map", { "a b": new WeakMap() }, '$["a b"]', /WeakMap/],
    ["class instance", { m: { price: new Money() } }, "$.m.price", /class Money.*toJSON\(\) is not called/],
    ["anonymous class", [new (class {})()], "$[0]", /plain object/],
    ["subclass of Set", new Tags(), "$", /Tags, a subclass of Set/],
    ["subclass of Array", { rows: new Rows() }, "$.rows", /Rows, a subclass of Array/],
    ["boxed primitive", [Object(1)], "$[0]", /Number.*valueOf/],
    ["generator", (function* () {})(), "$", /yields/],
    ["shared memory", [new SharedArrayBuffer(1)], "$[0]", /Shared memory/],
    ["map value", new Map([["k", [Symbol.iterator]]]), '$.get("k")[0]', /symbol/],
    ["map key", new Map([[() => 1, 1]]), "$.keys()[0]", /function/],
    ["set element", new Set([1, () => 1]), "$.values()[1]", /function/],
    ["throwing getter", { a: [getter] }, "$.a[0].broken", /throws when it is read/],
    ["revoked proxy", [revoked.proxy], "$[0]", /throws when it is read/],
    ["fake Date", { d: Object.create(Date.prototype) as unknown }, "$.d", /throws when it is read/],
    ["URLSearchParams", new URLSearchParams("a=1"), "$", /Object.fromEntries/],
  ])("%s", (_name, value, path, message) => {
    const error = thrownBy(() => codec.encode(value, 'the result of step "charge"'));
    expect(error.code).toBe("unserializable");
    expect(error.details).toMatchObject({ path, what: 'the result of step "charge"' });
    expect(error.message).toMatch(/^Cannot store the result of step "charge": /);
    expect(error.message).toMatch(message);
  });

  it("never fails in another way, whatever the value is", () => {
    // By name: fast-check looks into its constants, which a revoked proxy does not bear.
    const specimens: Record<string, unknown> = {
      fn: () => 1,
      symbol: Symbol("x"),
      proxy: revoked.proxy,
      getter,
      money: new Money(),
      weak: new WeakSet(),
    };
    const strange = fc.oneof(
      leafArbitrary,
      fc.constantFrom(...Object.keys(specimens)).map((name) => ({ [name]: specimens[name] })),
    );
    fc.assert(
      fc.property(fc.anything({ values: [strange], key: keyArbitrary, withBoxedValues: true, withMap: true, withSet: true }), (value) => {
        try {
          back(value);
        } catch (error) {
          expect(isPerdureError(error, "unserializable")).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("limits hold exactly", () => {
  const nested = (depth: number, leaf: unknown): unknown => (depth === 0 ? leaf : [nested(depth - 1, leaf)]);
  const refused = (limits: object, value: unknown): unknown => {
    const small = jsonCodec({ limits });
    try {
      small.decode(small.encode(value, "the input"));
      return undefined;
    } catch (error) {
      expect(isPerdureError(error, "payload_too_large")).toBe(true);
      return (error as PerdureError).details?.["option"];
    }
  };

  it.each([
    ["plain", 1],
    ["tagged", undefined],
  ])("depth, %s", (_name, leaf) => {
    expect([4, 5, 6].map((depth) => refused({ maxDepth: 5 }, nested(depth, leaf)))).toEqual([undefined, undefined, "maxDepth"]);
    expect([199, 200, 201].map((depth) => refused({}, nested(depth, leaf)))).toEqual([undefined, undefined, "maxDepth"]);
    expect([400, 401].map((depth) => refused({ maxDepth: 400 }, nested(depth, leaf)))).toEqual([undefined, "maxDepth"]);
  });

  it.each([
    ["plain", 1],
    ["tagged", undefined],
  ])("nodes, %s", (_name, leaf) => {
    expect(
      [8, 9, 10].map((size) =>
        refused(
          { maxNodes: 10 },
          Array.from({ length: size }, () => leaf),
        ),
      ),
    ).toEqual([undefined, undefined, "maxNodes"]);
  });

  it("bytes, of plain text, of text beyond ASCII, and of an envelope", () => {
    const text = (size: number) => "x".repeat(size - 2);
    expect([999, 1000, 1001].map((size) => refused({ maxBytes: 1000 }, text(size)))).toEqual([undefined, undefined, "maxBytes"]);
    expect([333, 334].map((size) => refused({ maxBytes: 1001 }, "€".repeat(size)))).toEqual([undefined, "maxBytes"]);
    expect([249, 250].map((size) => refused({ maxBytes: 1001 }, "😀".repeat(size)))).toEqual([undefined, "maxBytes"]);
    const overhead = Buffer.byteLength(there(["", undefined]));
    const tagged = (size: number) => ["x".repeat(size - overhead), undefined];
    expect([999, 1000, 1001].map((size) => refused({ maxBytes: 1000 }, tagged(size)))).toEqual([undefined, undefined, "maxBytes"]);
    expect([4, 4.01].map((mebibytes) => refused({}, "x".repeat(mebibytes * 1024 * 1024 - 2)))).toEqual([undefined, "maxBytes"]);
  });

  it("names what, size and limit", () => {
    const error = thrownBy(() => jsonCodec({ limits: { maxBytes: 100 } }).encode("x".repeat(99), "the input"));
    expect(error.message).toContain("Cannot store the input: its encoded size in bytes is 101, and the limit is 100 (limits.maxBytes)");
  });

  it("refuses huge sparse arrays and endless chains at once, and in terms of its own", () => {
    expect(refused({}, new Array(2 ** 31))).toBe("maxNodes");
    let list: unknown = null;
    for (let i = 0; i < 100_000; i++) list = { list };
    expect(refused({}, list)).toBe("maxDepth");
  });

  it("apply to writing only", () => {
    const text = jsonCodec({ limits: { maxDepth: 400 } }).encode(nested(399, new Map([[1, undefined]])), "the input");
    expect(jsonCodec({ limits: { maxDepth: 1, maxBytes: 64 } }).decode(text)).toBeDefined();
  });

  it.each([{ maxDepth: 0 }, { maxDepth: 401 }, { maxBytes: 1.5 }, { maxNodes: Number.NaN }, { maxStackChars: -1 }, { bytes: 5 }])(
    "wrong: %j",
    (limits) => {
      expect(thrownBy(() => jsonCodec({ limits })).code).toBe("invalid_argument");
    },
  );
});
