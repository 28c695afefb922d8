/**
 * Are two values the same graph? Stricter than the deep equalities of test libraries: kinds, prototypes, -0 against 0, holes against undefined, order of keys and
 * entries, and which references lead to one and the same object. Returns the path of the first difference, or undefined.
 */
export function graphDifference(left: unknown, right: unknown): string | undefined {
  return compare(left, right, "$", { leftToRight: new Map(), rightToLeft: new Map() });
}

interface Pairing {
  readonly leftToRight: Map<object, object>;
  readonly rightToLeft: Map<object, object>;
}

type Parts = readonly (readonly [label: string, value: unknown])[];

function compare(left: unknown, right: unknown, path: string, pairing: Pairing): string | undefined {
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null)
    return Object.is(left, right) ? undefined : path;
  if (pairing.leftToRight.has(left) || pairing.rightToLeft.has(right)) {
    return pairing.leftToRight.get(left) === right && pairing.rightToLeft.get(right) === left ? undefined : `${path} (identity)`;
  }
  pairing.leftToRight.set(left, right);
  pairing.rightToLeft.set(right, left);
  if (Object.getPrototypeOf(left) !== Object.getPrototypeOf(right)) return `${path} (prototype)`;
  const [ours, theirs] = [partsOf(left), partsOf(right)];
  if (ours.length !== theirs.length) return `${path} (size)`;
  for (const [i, [label, value]] of ours.entries()) {
    const other = theirs[i];
    if (other === undefined || other[0] !== label) return `${path}.${label} (order)`;
    const difference = compare(value, other[1], `${path}.${label}`, pairing);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

/** Everything about an object that a codec must keep. */
function partsOf(object: object): Parts {
  if (object instanceof Date) return [["time", object.getTime()]];
  if (object instanceof RegExp)
    return [
      ["source", object.source],
      ["flags", object.flags],
    ];
  if (object instanceof URL) return [["href", object.href]];
  if (object instanceof ArrayBuffer) return [["bytes", Buffer.from(object).toString("hex")]];
  if (ArrayBuffer.isView(object)) return [["bytes", Buffer.from(object.buffer, object.byteOffset, object.byteLength).toString("hex")]];
  if (object instanceof Map) return [...object].flatMap(([key, value], i) => [[`key ${i}`, key] as const, [`value ${i}`, value] as const]);
  if (object instanceof Set) return [...object].map((value, i) => [`value ${i}`, value] as const);
  if (object instanceof Error) {
    const hidden = errorFields.map((key) => [key, (object as unknown as Record<string, unknown>)[key]] as const);
    return [...hidden, ...own(object).filter(([label]) => !errorFields.some((key) => label === `own ${key}`))];
  }
  return [...own(object), ["length", Array.isArray(object) ? object.length : undefined]];
}

/** Of an error, whether enumerable or not: code that assigns them makes them so, the language does not. */
const errorFields = ["name", "message", "stack", "cause", "errors"];

const own = (object: object): Parts =>
  Object.keys(object).map((key) => [`own ${key}`, Object.getOwnPropertyDescriptor(object, key)?.value as unknown] as const);
