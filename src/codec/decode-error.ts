import { PerdureError } from "../errors.js";
import type { DecodeWalk } from "./decode-walk.js";
import { damaged, define } from "./decode-walk.js";
import type { Json, JsonObject } from "./format.js";

const fields: ReadonlySet<string> = new Set(["name", "class", "message", "stack", "props", "cause", "errors", "dropped"]);
const notProps: ReadonlySet<string> = new Set(["name", "message", "stack", "cause"]);
const brand = Symbol.for("perdure.error");

type DecodeNode = (walk: DecodeWalk, node: Json, id: number) => unknown;
type DecodeProperties = (walk: DecodeWalk, node: JsonObject, into: object) => object;

/**
 * An error of the registered class with the stored properties. No constructor of the user's runs: it might want other arguments, or do things. The object is a
 * native Error whose prototype is exchanged, rather than `Object.create(prototype)`, which consoles, `structuredClone` and `util.types` do not take for an error.
 */
export function errorFromRecord(walk: DecodeWalk, record: JsonObject, id: number, decode: DecodeNode, properties: DecodeProperties): Error {
  for (const key of Object.keys(record)) if (!fields.has(key)) return damaged("an error with an unknown field");
  const name = text(record, "name") ?? damaged("an error without a name");
  const message = text(record, "message") ?? damaged("an error without a message");
  const error = define(walk, id, bareError(walk, text(record, "class") ?? name, name, message));
  hide(error, "stack", text(record, "stack") ?? `${name}: ${message}`);

  const props = record["props"];
  if (props !== undefined) {
    if (typeof props !== "object" || props === null || Array.isArray(props)) return damaged("an error with wrong properties");
    const values = properties(walk, props, Object.create(null) as object) as Record<string, unknown>;
    for (const key of Object.keys(values)) {
      if (notProps.has(key)) return damaged("an error with a field among its properties");
      Object.defineProperty(error, key, { value: values[key], writable: true, enumerable: true, configurable: true });
    }
  }
  if (record["cause"] !== undefined) hide(error, "cause", decode(walk, record["cause"], 0));
  const errors = record["errors"];
  if (errors !== undefined) hide(error, "errors", Array.isArray(errors) ? decode(walk, errors, 0) : damaged("an error with wrong errors"));
  return error;
}

function bareError(walk: DecodeWalk, className: string, name: string, message: string): Error {
  // Its name and message live in slots of the object that only its own constructor fills; it is the platform's, so it may run.
  if (className === "DOMException") return new DOMException(message, name);
  const prototype = walk.registry.prototypeOf(className);
  const error = new Error(message);
  // A class that is not registered here (any more, or in a client): an Error that keeps its name.
  if (prototype !== undefined) Object.setPrototypeOf(error, prototype);
  if (error instanceof PerdureError) Object.defineProperty(error, brand, { value: true });
  if (nameOf(error) !== name) hide(error, "name", name);
  return error;
}

/** A class of the user's may have a getter here, which wants an object that its constructor has seen. */
function nameOf(error: Error): string | undefined {
  try {
    return error.name;
  } catch {
    return undefined;
  }
}

/** As the language does it: own, but not enumerable. Defined, never assigned, so that no setter of the user's class runs. */
function hide(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, writable: true, enumerable: false, configurable: true });
}

function text(record: JsonObject, key: string): string | undefined {
  const value = record[key];
  return value === undefined || typeof value === "string" ? value : damaged("an error with a wrong field");
}
