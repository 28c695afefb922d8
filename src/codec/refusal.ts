import type { PerdureError } from "../errors.js";
import type { EncodeWalk } from "./encode-walk.js";
import { unserializable } from "./encode-walk.js";

/** Says what a value is that cannot be stored, and what to do about it. Decides nothing: it is asked only about values that were refused. */
export function refusalOf(walk: EncodeWalk, value: unknown): PerdureError {
  if (typeof value === "function") {
    const name = typeof value.name === "string" && value.name !== "" ? ` (${value.name.slice(0, 60)})` : "";
    return unserializable(walk, `a function${name}`, "Code cannot be stored: pass data, and call the function inside a step.");
  }
  if (typeof value === "symbol") return unserializable(walk, `a symbol (${String(value.description)})`, "Use a string.");
  const object = value as object;
  const name = classNameOf(object);
  const advice = adviceFor(object, name);
  if (advice !== undefined) return unserializable(walk, `a ${name}`, advice);
  const base = Array.isArray(object)
    ? "Array"
    : object instanceof Map
      ? "Map"
      : object instanceof Set
        ? "Set"
        : object instanceof Date
          ? "Date"
          : undefined;
  if (base !== undefined)
    return unserializable(
      walk,
      `an instance of ${name}, a subclass of ${base}`,
      `It would come back as a bare ${base}: make a plain ${base} of it first.`,
    );
  return unserializable(walk, `an instance of the class ${name}`, instanceAdvice(object));
}

function instanceAdvice(object: object): string {
  const type = object as { toJSON?: unknown };
  const plain = "Store a plain object with its data ({ ...value }) and build the instance again where you need it.";
  return typeof type.toJSON === "function"
    ? `Its toJSON() is not called, because what comes back would be another type: store value.toJSON() or a string, or a plain object, yourself.`
    : plain;
}

function adviceFor(object: object, name: string): string | undefined {
  if (typeof (object as { then?: unknown }).then === "function") return "Await it first.";
  if (
    object instanceof Number ||
    object instanceof String ||
    object instanceof Boolean ||
    object instanceof BigInt ||
    object instanceof Symbol
  ) {
    return "Use the primitive instead of the boxed one (value.valueOf()).";
  }
  if (object instanceof WeakMap || object instanceof WeakSet || object instanceof WeakRef)
    return "Weak collections cannot be listed: use a Map or Set.";
  if (typeof SharedArrayBuffer === "function" && object instanceof SharedArrayBuffer)
    return "Shared memory cannot be stored: copy it into an ArrayBuffer.";
  switch (name) {
    case "ReadableStream":
    case "WritableStream":
    case "Response":
    case "Request":
    case "Blob":
    case "File":
      return "Read it inside a step and store what was read.";
    case "URLSearchParams":
    case "Headers":
    case "FormData":
      return "Store Object.fromEntries(value) or [...value].";
    case "Generator":
    case "AsyncGenerator":
      return "Store an array of what it yields.";
    default:
      return undefined;
  }
}

/** Reads as little as possible: the value may be a proxy or have a throwing getter. */
function classNameOf(object: object): string {
  try {
    const type: unknown = (object as { constructor?: unknown }).constructor;
    if (typeof type === "function" && typeof type.name === "string" && type.name !== "" && type.name !== "Object")
      return type.name.slice(0, 60);
    const brand = Object.prototype.toString.call(object).slice(8, -1);
    return brand === "Object" ? "(anonymous)" : brand;
  } catch {
    return "(unreadable)";
  }
}
