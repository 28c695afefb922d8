import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { inputHash } from "./input-hash.js";

const shuffled = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(shuffled);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toReversed();
  return Object.fromEntries(entries.map(([key, part]) => [key, shuffled(part)]));
};

describe("inputHash", () => {
  it("is the same for ever", () => {
    expect(["null", "{}", '{"a":[1,"x"]}', '{"$perdure":1,"value":{"$const":"undefined"}}'].map(inputHash)).toMatchInlineSnapshot(`
      [
        "a0ab47da6c2706c2",
        "9330d7b4eee8bc78",
        "c858a04cc2d77f2c",
        "163fe5f69cc0c562",
      ]
    `);
  });

  it("does not depend on the order of keys or on white space", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "binary" }), (value) => {
        const hash = inputHash(JSON.stringify(value));
        expect(hash).toMatch(/^[0-9a-f]{16}$/);
        expect(inputHash(JSON.stringify(shuffled(value)))).toBe(hash);
        expect(inputHash(JSON.stringify(value, undefined, 2))).toBe(hash);
      }),
    );
  });

  it("tells small differences apart", () => {
    const texts = new Set<string>();
    for (let i = 0; i < 20_000; i++) texts.add(`{"id":${i}}`).add(`["${i}"]`).add(`[${i}]`).add(`{"${i}":null}`).add(`[[],${i}]`);
    for (const text of [
      "0",
      '"0"',
      "null",
      '"null"',
      "[]",
      "{}",
      "[[]]",
      "[{}]",
      '{"a":1,"b":2}',
      '{"a":2,"b":1}',
      '["a","b"]',
      '["b","a"]',
      '["ab"]',
      "true",
    ])
      texts.add(text);
    expect(new Set([...texts].map(inputHash)).size).toBe(texts.size);
    expect(new Set([...texts].map((text) => inputHash(text).slice(0, 8))).size).toBeGreaterThan(texts.size - 20);
  });

  it("refuses what is not JSON", () => {
    expect(() => inputHash("{")).toThrow(expect.objectContaining({ code: "undecodable" }));
  });
});
