import { isPerdureError } from "../errors.js";
import { bufferToBase64, kindOfView, viewToBase64 } from "./binary.js";
import { encodeErrorRecord } from "./encode-error.js";
import type { EncodeWalk } from "./encode-walk.js";
import { checkDepth, spendChars, spendNodes, storedKey, tag, unserializable } from "./encode-walk.js";
import { isErrorLike } from "./error-registry.js";
import type { Json, JsonObject } from "./format.js";
import { envelopeStart, formatVersion, setOwn } from "./format.js";
import { withinBytes } from "./limits.js";
import { refusalOf } from "./refusal.js";

/** The text of a value that is not plain JSON, or the error that says what is wrong with it. */
export function encodeTagged(walk: EncodeWalk, value: unknown): string {
  const root: { value: Json } = { value: null };
  try {
    put(walk, root, "value", value, 1);
  } catch (error) {
    if (isPerdureError(error)) throw error;
    // A getter, a proxy or a detached buffer; or the stack, if little of it was left when we were called.
    throw unserializable(walk, "a value that throws when it is read", "Its cause is what was thrown.", error);
  }
  markShared(walk);
  const plain = walk.tagged ? undefined : JSON.stringify(root.value);
  const text =
    plain?.startsWith(envelopeStart) === false ? plain : `${envelopeStart}${formatVersion},"value":${JSON.stringify(root.value)}}`;
  return withinBytes(text, walk.limits, walk.what);
}

/** Ids are written last: whether an object is met again is known only at the end. */
function markShared(walk: EncodeWalk): void {
  if (walk.ids === 0) return;
  for (const slot of walk.slots.values()) {
    if (slot.id === 0) continue;
    const holder = slot.holder as JsonObject;
    setOwn(holder, slot.key, { $id: slot.id, of: holder[slot.key] as Json });
  }
}

function put(walk: EncodeWalk, holder: object, key: string | number, value: unknown, depth: number): void {
  setOwn(holder, key, encodeValue(walk, value, holder, key, depth));
}

function encodeValue(walk: EncodeWalk, value: unknown, holder: object, key: string | number, depth: number): Json {
  spendNodes(walk, 1);
  switch (typeof value) {
    case "string":
      spendChars(walk, value.length);
      return value;
    case "boolean":
      return value;
    case "number":
      if (Number.isFinite(value) && !Object.is(value, -0)) return value;
      return tag(walk, "$const", Object.is(value, -0) ? "-0" : String(value));
    case "undefined":
      return tag(walk, "$const", "undefined");
    case "bigint": {
      const digits = value.toString();
      spendChars(walk, digits.length);
      return tag(walk, "$bigint", digits);
    }
    case "object":
      return value === null ? null : encodeObject(walk, value, holder, key, depth);
    default:
      throw refusalOf(walk, value);
  }
}

function encodeObject(walk: EncodeWalk, value: object, holder: object, key: string | number, depth: number): Json {
  const slot = walk.slots.get(value);
  if (slot !== undefined) {
    if (slot.id === 0) slot.id = ++walk.ids;
    return tag(walk, "$ref", slot.id);
  }
  walk.slots.set(value, { holder, key, id: 0 });
  walk.order.push(value);
  if (Array.isArray(value)) return encodeArray(walk, value, depth);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null) return tag(walk, "$bare", encodeProperties(walk, value, depth));
  if (isObjectPrototype(prototype)) return encodeProperties(walk, value, depth);
  return encodeBuiltIn(walk, value, depth);
}

function encodeArray(walk: EncodeWalk, value: readonly unknown[], depth: number): Json {
  checkDepth(walk, depth);
  if (isSubclass(value, "Array")) throw refusalOf(walk, value);
  if (value.length > walk.nodesLeft) spendNodes(walk, value.length);
  const nodes: Json[] = [];
  for (let i = 0; i < value.length; i++) {
    const element = value[i];
    walk.path.push(i);
    if (element === undefined && !(i in value)) {
      spendNodes(walk, 1);
      nodes.push(tag(walk, "$const", "hole"));
    } else put(walk, nodes, i, element, depth + 1);
    walk.path.pop();
  }
  return nodes;
}

function encodeProperties(walk: EncodeWalk, value: object, depth: number): JsonObject {
  checkDepth(walk, depth);
  const node: JsonObject = {};
  for (const key of Object.keys(value)) {
    spendChars(walk, key.length);
    walk.path.push(key);
    put(walk, node, storedKey(walk, key), (value as Record<string, unknown>)[key], depth + 1);
    walk.path.pop();
  }
  return node;
}

/**
 * Each kind is recognised by its class and read by the method of our own realm, which checks the real brand: an object that only claims to be a Date
 * throws here and is refused.
 */
function encodeBuiltIn(walk: EncodeWalk, value: object, depth: number): Json {
  if (isErrorLike(value)) {
    checkDepth(walk, depth);
    return tag(walk, "$error", encodeErrorRecord(walk, value, depth, put));
  }
  if (ArrayBuffer.isView(value)) {
    spendChars(walk, value.byteLength);
    const kind = kindOfView(value);
    return kind === "Uint8Array" ? tag(walk, "$bytes", viewToBase64(value)) : tag(walk, "$binary", [kind, viewToBase64(value)]);
  }
  const kind = kindOf(value);
  if (kind === undefined || isSubclass(value, kind)) throw refusalOf(walk, value);
  switch (kind) {
    case "Date": {
      const ms = Date.prototype.getTime.call(value);
      return tag(walk, "$date", Number.isNaN(ms) ? null : new Date(ms).toISOString());
    }
    case "Map":
      return encodeMap(walk, value as Map<unknown, unknown>, depth);
    case "Set":
      return encodeSet(walk, value as Set<unknown>, depth);
    case "RegExp":
      return encodeRegExp(walk, value as RegExp);
    case "URL": {
      const href = (value as URL).href;
      spendChars(walk, href.length);
      return tag(walk, "$url", href);
    }
    case "ArrayBuffer":
      spendChars(walk, (value as ArrayBuffer).byteLength);
      return tag(walk, "$binary", ["ArrayBuffer", bufferToBase64(value as ArrayBuffer)]);
    default:
      return kind satisfies never;
  }
}

function encodeMap(walk: EncodeWalk, map: Map<unknown, unknown>, depth: number): Json {
  checkDepth(walk, depth);
  const pairs: Json[] = [];
  let index = 0;
  for (const [key, value] of Map.prototype.entries.call(map) as IterableIterator<[unknown, unknown]>) {
    const pair: Json[] = [];
    pairs.push(pair);
    walk.path.push({ in: "map-key", index });
    put(walk, pair, 0, key, depth + 1);
    walk.path.pop();
    walk.path.push({ in: "map-value", index, key });
    put(walk, pair, 1, value, depth + 1);
    walk.path.pop();
    index++;
  }
  return tag(walk, "$map", pairs);
}

function encodeSet(walk: EncodeWalk, set: Set<unknown>, depth: number): Json {
  checkDepth(walk, depth);
  const nodes: Json[] = [];
  for (const value of Set.prototype.values.call(set) as IterableIterator<unknown>) {
    walk.path.push({ in: "set", index: nodes.length });
    put(walk, nodes, nodes.length, value, depth + 1);
    walk.path.pop();
  }
  return tag(walk, "$set", nodes);
}

function encodeRegExp(walk: EncodeWalk, value: RegExp): Json {
  const { source, flags } = value;
  spendChars(walk, source.length);
  return tag(walk, "$regexp", [source, flags]);
}

const kinds = { Date, Map, Set, RegExp, URL, ArrayBuffer } as const;
type Kind = keyof typeof kinds;

function kindOf(value: object): Kind | undefined {
  for (const kind of Object.keys(kinds) as Kind[]) if (value instanceof kinds[kind]) return kind;
  const name = Object.prototype.toString.call(value).slice(8, -1); // of another realm
  return Object.hasOwn(kinds, name) ? (name as Kind) : undefined;
}

/** A subclass would come back as its base: that is a loss, so it is refused like any class instance. Realms are told apart by name. */
function isSubclass(value: object, kind: Kind | "Array"): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype === (kind === "Array" ? Array : kinds[kind]).prototype) return false;
  if (prototype === null || !isObjectPrototype(Object.getPrototypeOf(prototype))) return true;
  const type: unknown = Object.getOwnPropertyDescriptor(prototype, "constructor")?.value;
  return typeof type !== "function" || type.name !== kind;
}

/** Of this realm or another. */
function isObjectPrototype(prototype: unknown): boolean {
  if (prototype === Object.prototype) return true;
  return (
    typeof prototype === "object" &&
    prototype !== null &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, "isPrototypeOf")
  );
}
