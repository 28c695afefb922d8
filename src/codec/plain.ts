import type { CodecLimits } from "./limits.js";
import { maxTextDepth } from "./limits.js";

/** Below this a linear look through an array beats a Set: most payloads hold a handful of objects. */
const smallSeen = 8;

interface Scan {
  readonly limits: CodecLimits;
  nodes: number;
  chars: number;
  readonly few: object[];
  many: Set<object> | undefined;
}

/**
 * Would `JSON.stringify` keep all of this value? It must answer for nine payloads out of ten in less time than stringify itself takes, so it only says
 * yes or no; whoever gets a no walks the value again to tag it, or to say precisely what is wrong with it.
 */
export function isPlain(value: object, limits: CodecLimits): boolean {
  return plainObject(value, { limits, nodes: 0, chars: 0, few: [], many: undefined }, 1);
}

function plainObject(value: object, scan: Scan, depth: number): boolean {
  if (depth > scan.limits.maxDepth || !firstSight(value, scan)) return false;
  if (Array.isArray(value)) {
    if (Object.getPrototypeOf(value) !== Array.prototype) return false;
    for (let i = 0; i < value.length; i++) if (!plainValue(value[i], scan, depth)) return false;
    return true;
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  // for-in instead of Object.keys: no array is made, and an enumerable property somebody put on Object.prototype costs only time.
  for (const key in value) {
    scan.chars += key.length;
    if (!plainValue((value as Record<string, unknown>)[key], scan, depth)) return false;
  }
  return true;
}

function plainValue(value: unknown, scan: Scan, depth: number): boolean {
  if (++scan.nodes >= scan.limits.maxNodes) return false;
  switch (typeof value) {
    case "string":
      scan.chars += value.length;
      return scan.chars <= scan.limits.maxBytes;
    case "number":
      // NaN and the infinities fail the first test, -0 the second.
      return value - value === 0 && (value !== 0 || 1 / value > 0);
    case "boolean":
      return true;
    case "object":
      return value === null || plainObject(value, scan, depth + 1);
    default:
      return false;
  }
}

/** False for an object that was met before: a cycle, or one object in two places, whose identity plain JSON would lose. */
function firstSight(value: object, scan: Scan): boolean {
  if (scan.many !== undefined) {
    const before = scan.many.size;
    scan.many.add(value);
    return scan.many.size > before;
  }
  const few = scan.few;
  for (let i = 0; i < few.length; i++) if (few[i] === value) return false;
  few.push(value);
  if (few.length === smallSeen) scan.many = new Set(few);
  return true;
}

/**
 * Is the text nested deeper than perdure ever writes? Asked before parsing, since everything that later walks the value would overflow the stack.
 * Most texts are cleared by their length, or by having too few brackets, which `indexOf` counts several times faster than a loop over all characters.
 */
export function isTooDeep(text: string): boolean {
  if (text.length <= 2 * maxTextDepth || count(text, "{") + count(text, "[") <= maxTextDepth) return false;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0x22) i = endOfString(text, i);
    else if (unit === 0x5b || unit === 0x7b) {
      if (++depth > maxTextDepth) return true;
    } else if (unit === 0x5d || unit === 0x7d) depth--;
  }
  return false;
}

/** How often a character occurs, as far as it matters. */
function count(text: string, character: string): number {
  let found = 0;
  for (let at = text.indexOf(character); at !== -1 && found <= maxTextDepth; at = text.indexOf(character, at + 1)) found++;
  return found;
}

function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0x22) return i;
    if (unit === 0x5c) i++;
  }
  return text.length;
}
