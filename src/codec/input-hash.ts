import { damaged } from "./decode-walk.js";
import type { Json } from "./format.js";
import { isTooDeep } from "./plain.js";

/**
 * 64 bits of a text of a {@link ValueCodec}, as 16 hexadecimal digits: equal for equal values, also if their objects list their keys in another order.
 * It tells whether a start with a known id brings another input; it is no protection against somebody who wants a collision, and it says something
 * about the input, so with encryption it must not be stored in the open.
 * @throws PerdureError `undecodable` for text that is not JSON
 */
export function inputHash(text: string): string {
  let parsed: Json;
  try {
    if (isTooDeep(text)) return damaged("deeper nesting than is ever written");
    parsed = JSON.parse(text) as Json;
  } catch {
    return damaged("text that is not JSON");
  }
  return hex(hashOf(parsed, 0x811c9dc5)) + hex(hashOf(parsed, 0x2b3f6a1d));
}

const hex = (hash: number): string => (hash >>> 0).toString(16).padStart(8, "0");

function hashOf(node: Json, seed: number): number {
  if (typeof node === "string") return textHash(node, seedFor(1, seed));
  if (typeof node !== "object" || node === null) return textHash(String(node), seedFor(2, seed));
  let hash = seedFor(Array.isArray(node) ? 3 : 4, seed);
  if (Array.isArray(node)) for (const element of node) hash = mix(hash ^ hashOf(element, seed));
  // A sum does not depend on the order of the keys.
  else for (const key of Object.keys(node)) hash = (hash + mix(textHash(key, seedFor(5, seed)) ^ mix(hashOf(node[key] as Json, seed)))) | 0;
  return mix(hash);
}

/** Kinds are far apart: seeds that differ in a bit or two are what the first character of another text makes up for. */
const seedFor = (kind: number, seed: number): number => mix(seed + Math.imul(kind, 0x9e3779b9));

/** FNV-1a, with the finish of murmur3 so that every bit of the input reaches every bit of the hash. */
function textHash(text: string, seed: number): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash ^ text.length);
}

function mix(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
