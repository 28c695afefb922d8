import { base64ToBytes, binaryFrom } from "./binary.js";
import { errorFromRecord } from "./decode-error.js";
import type { DecodeWalk } from "./decode-walk.js";
import { damaged, define } from "./decode-walk.js";
import type { Json, JsonObject } from "./format.js";
import { setOwn } from "./format.js";

/**
 * The value in an envelope. The tree that `JSON.parse` made becomes the value where it can, so plain parts cost no copy. Containers are announced (`define`)
 * before their children are decoded, which lets a child refer to them; the order of the walk is that of encoding, so a definition always comes before its references.
 */
export function decodeTagged(walk: DecodeWalk, node: Json): unknown {
  return decodeNode(walk, node, 0);
}

/** @param id of the `$id` around the node, or 0 */
function decodeNode(walk: DecodeWalk, node: Json, id: number): unknown {
  if (typeof node !== "object" || node === null) return id === 0 ? node : damaged("an id for a primitive");
  if (Array.isArray(node)) return decodeArray(walk, node, id);
  let tag: string | undefined;
  let escaped = false;
  let keys = 0;
  for (const key of Object.keys(node)) {
    keys++;
    if (key.charCodeAt(0) !== 0x24) continue;
    if (key.charCodeAt(1) === 0x24) escaped = true;
    else tag = key;
  }
  if (tag === undefined) return decodeProperties(walk, node, define(walk, id, escaped ? {} : node));
  if (keys !== (tag === "$id" ? 2 : 1)) return damaged(`a tag beside other keys`);
  return decodeTag(walk, tag, node, node[tag] as Json, id);
}

function decodeTag(walk: DecodeWalk, tag: string, node: JsonObject, content: Json, id: number): unknown {
  switch (tag) {
    case "$id":
      return decodeDefinition(walk, node, id);
    case "$ref":
      if (id !== 0) return damaged("an id for a reference");
      return (typeof content === "number" ? walk.refs.get(content) : undefined) ?? damaged("a reference to nothing");
    case "$const":
    case "$bigint":
      if (id !== 0) return damaged("an id for a primitive");
      return tag === "$const" ? decodeConst(content) : decodeBigint(content);
    case "$bare":
      return decodeProperties(walk, objectIn(content), define(walk, id, Object.create(null) as object));
    case "$map":
      return decodeMap(walk, arrayIn(content), define(walk, id, new Map()));
    case "$set":
      return decodeSet(walk, arrayIn(content), define(walk, id, new Set()));
    case "$error":
      return errorFromRecord(walk, objectIn(content), id, decodeNode, decodeProperties);
    default:
      return define(walk, id, decodeLeaf(tag, content));
  }
}

function decodeLeaf(tag: string, content: Json): object {
  switch (tag) {
    case "$date":
      return decodeDate(content);
    case "$bytes":
      return base64ToBytes(content) ?? damaged("bytes that are not base64");
    case "$binary": {
      const [kind, base64] = pairIn(content);
      return binaryFrom(kind, base64) ?? damaged("binary data of an unknown kind or a wrong length");
    }
    case "$url":
      return attempt("a URL", () => new URL(stringIn(content)));
    case "$regexp": {
      const [source, flags] = pairIn(content);
      return attempt("a regular expression", () => new RegExp(stringIn(source), stringIn(flags)));
    }
    default:
      return damaged("an unknown tag");
  }
}

function decodeDefinition(walk: DecodeWalk, node: JsonObject, outer: number): unknown {
  const id = node["$id"];
  const of = node["of"];
  if (outer !== 0 || of === undefined || typeof id !== "number" || !Number.isSafeInteger(id) || id < 1 || walk.refs.has(id))
    return damaged("a wrong id");
  return decodeNode(walk, of, id);
}

/** `into` is the node itself, or a new object if keys must be unescaped or the prototype differs. */
function decodeProperties(walk: DecodeWalk, node: JsonObject, into: object): object {
  for (const key of Object.keys(node)) {
    const before = node[key] as Json;
    const after = decodeNode(walk, before, 0);
    if (into === node && after === before) continue;
    if (key.charCodeAt(0) === 0x24) {
      if (key.charCodeAt(1) !== 0x24) return damaged("a tag among properties");
      setOwn(into, key.slice(1), after);
    } else setOwn(into, key, after);
  }
  return into;
}

function decodeArray(walk: DecodeWalk, node: Json[], id: number): unknown[] {
  const array: unknown[] = define(walk, id, node);
  for (let i = 0; i < node.length; i++) {
    const element = node[i] as Json;
    if (typeof element !== "object" || element === null) continue;
    if (isHole(element)) Reflect.deleteProperty(array, i);
    else array[i] = decodeNode(walk, element, 0);
  }
  return array;
}

function isHole(node: Json[] | JsonObject): boolean {
  return !Array.isArray(node) && node["$const"] === "hole" && Object.keys(node).length === 1;
}

function decodeMap(walk: DecodeWalk, pairs: Json[], map: Map<unknown, unknown>): Map<unknown, unknown> {
  for (const pair of pairs) {
    const [keyNode, valueNode] = pairIn(pair);
    const key = decodeNode(walk, keyNode, 0);
    map.set(key, decodeNode(walk, valueNode, 0));
  }
  return map.size === pairs.length ? map : damaged("a map with one key twice");
}

function decodeSet(walk: DecodeWalk, nodes: Json[], set: Set<unknown>): Set<unknown> {
  for (const node of nodes) set.add(decodeNode(walk, node, 0));
  return set.size === nodes.length ? set : damaged("a set with one value twice");
}

function decodeConst(content: Json): unknown {
  switch (content) {
    case "undefined":
      return undefined;
    case "NaN":
      return Number.NaN;
    case "Infinity":
      return Number.POSITIVE_INFINITY;
    case "-Infinity":
      return Number.NEGATIVE_INFINITY;
    case "-0":
      return -0;
    default:
      return damaged("an unknown constant");
  }
}

function decodeBigint(content: Json): bigint {
  if (typeof content !== "string" || !/^(?:0|-?[1-9]\d*)$/.test(content)) return damaged("a bigint that is not one");
  return attempt("a bigint", () => BigInt(content));
}

function decodeDate(content: Json): Date {
  if (content === null) return new Date(Number.NaN);
  const date = new Date(stringIn(content));
  return !Number.isNaN(date.getTime()) && date.toISOString() === content ? date : damaged("a date that is not one");
}

function attempt<T>(what: string, make: () => T): T {
  try {
    return make();
  } catch {
    return damaged(`${what} that is not one`);
  }
}

const stringIn = (node: Json | undefined): string => (typeof node === "string" ? node : damaged("something else where text belongs"));
const arrayIn = (node: Json): Json[] => (Array.isArray(node) ? node : damaged("something else where a list belongs"));
const objectIn = (node: Json): JsonObject =>
  typeof node === "object" && node !== null && !Array.isArray(node) ? node : damaged("something else where a record belongs");

function pairIn(node: Json): readonly [Json, Json] {
  return Array.isArray(node) && node.length === 2 ? [node[0] as Json, node[1] as Json] : damaged("something else where a pair belongs");
}
