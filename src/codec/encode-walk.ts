import { PerdureError } from "../errors.js";
import type { ErrorRegistry } from "./error-registry.js";
import type { Json } from "./format.js";
import type { CodecLimits } from "./limits.js";
import { tooLarge } from "./limits.js";

/** A step on the way from the root to a value: an index, a key, or an entry of a Map or Set. */
export type PathStep = number | string | { readonly in: "map-key" | "map-value" | "set"; readonly index: number; readonly key?: unknown };

/** Where an encoded object sits, so that it can be given an id when it is met again. */
export interface Slot {
  readonly holder: object;
  readonly key: string | number;
  id: number;
}

/** The state of encoding one value. Mutable, and gone when the value is encoded. */
export interface EncodeWalk {
  readonly limits: CodecLimits;
  readonly registry: ErrorRegistry;
  readonly what: string;
  readonly path: PathStep[];
  readonly slots: Map<object, Slot>;
  /** The keys of `slots` in order of insertion, to take them back when a property of an error is dropped. */
  readonly order: object[];
  ids: number;
  /** Was anything written that plain JSON could not say? */
  tagged: boolean;
  nodesLeft: number;
  charsLeft: number;
}

/** Encodes a value and puts it into a holder: what a container hands its children to. */
export type Put = (walk: EncodeWalk, holder: object, key: string | number, value: unknown, depth: number) => void;

export function encodeWalk(what: string, registry: ErrorRegistry, limits: CodecLimits): EncodeWalk {
  return {
    limits,
    registry,
    what,
    path: [],
    slots: new Map(),
    order: [],
    ids: 0,
    tagged: false,
    nodesLeft: limits.maxNodes,
    charsLeft: limits.maxBytes,
  };
}

export function tag(walk: EncodeWalk, name: string, content: Json): Json {
  walk.tagged = true;
  return { [name]: content };
}

/** A key of the user's own that starts with `$` is written with one more, which only an envelope can say. */
export function storedKey(walk: EncodeWalk, key: string): string {
  if (!key.startsWith("$")) return key;
  walk.tagged = true;
  return `$${key}`;
}

export function spendNodes(walk: EncodeWalk, count: number): void {
  walk.nodesLeft -= count;
  if (walk.nodesLeft < 0)
    throw tooLarge(walk.what, "the number of values in it", `over ${walk.limits.maxNodes}`, walk.limits.maxNodes, "maxNodes");
}

/** Text costs at least a byte for each unit, so a value that is much too large is refused before its text is made. */
export function spendChars(walk: EncodeWalk, count: number): void {
  walk.charsLeft -= count;
  if (walk.charsLeft < 0) {
    const atLeast = walk.limits.maxBytes - walk.charsLeft;
    throw tooLarge(walk.what, "its encoded size in bytes", `at least ${atLeast}`, walk.limits.maxBytes, "maxBytes");
  }
}

export function checkDepth(walk: EncodeWalk, depth: number): void {
  if (depth > walk.limits.maxDepth) {
    throw tooLarge(
      walk.what,
      `its nesting at ${shortened(pathText(walk.path))}`,
      `over ${walk.limits.maxDepth} levels`,
      walk.limits.maxDepth,
      "maxDepth",
    );
  }
}

/** The refusal of the value that the walk is at. */
export function unserializable(walk: EncodeWalk, is: string, advice: string, cause?: unknown): PerdureError {
  const path = pathText(walk.path);
  const message = `Cannot store ${walk.what}: ${path} is ${is}. ${advice}`;
  const details = { what: walk.what, path, is };
  return new PerdureError("unserializable", message, cause === undefined ? { details } : { details, cause });
}

const shortened = (path: string): string => (path.length <= 120 ? path : `${path.slice(0, 60)}…${path.slice(-50)}`);

/** `$.order.items[3].callback` */
export function pathText(path: readonly PathStep[]): string {
  return `$${path.map(stepText).join("")}`;
}

function stepText(step: PathStep): string {
  if (typeof step === "number") return `[${step}]`;
  if (typeof step === "string") return /^[A-Za-z_$][\w$]*$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
  switch (step.in) {
    case "map-key":
      return `.keys()[${step.index}]`;
    case "map-value":
      return typeof step.key === "string" || typeof step.key === "number"
        ? `.get(${JSON.stringify(step.key)})`
        : `.values()[${step.index}]`;
    case "set":
      return `.values()[${step.index}]`;
    default:
      return step.in satisfies never;
  }
}
