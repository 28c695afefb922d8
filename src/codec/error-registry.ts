import {
  CancelledError,
  isPerdureError,
  NonRetryableError,
  PerdureError,
  RetryAfterError,
  RunFailedError,
  TimeoutError,
} from "../errors.js";

/** A class of errors, abstract ones included. */
export type ErrorClass = abstract new (...args: never[]) => Error;

/** Which error classes keep their identity when they are stored: those handed to `launch`, perdure's own, and the language's. */
export interface ErrorRegistry {
  /** The stored name of the nearest registered class of an error; `Error` if nothing nearer is registered. */
  classOf(error: object): string;
  /** The prototype of a stored class name; undefined if it is not registered here. */
  prototypeOf(className: string): object | undefined;
}

const builtIns: readonly ErrorClass[] = [
  Error,
  TypeError,
  RangeError,
  SyntaxError,
  ReferenceError,
  EvalError,
  URIError,
  AggregateError as ErrorClass,
  DOMException,
];

/**
 * Stored under a name space, so that a class of the user's may be called TimeoutError too. The names are written out, since those of the classes change when
 * perdure itself is bundled and minified.
 */
const own: ReadonlyMap<string, ErrorClass> = new Map(
  Object.entries({ PerdureError, TimeoutError, CancelledError, RunFailedError, NonRetryableError, RetryAfterError }),
);
const ownName = (name: string): string => `perdure/${name}`;

/**
 * Built from the `errors` of `launch`. Classes are known by their `name`, so a bundler must keep class names.
 * @throws PerdureError `invalid_argument` for what is not a class of errors, and for two classes of one name
 */
export function errorRegistry(errors: readonly ErrorClass[] = []): ErrorRegistry {
  // Maps rather than records: a stored name such as "constructor" must find nothing.
  const byName = new Map<string, object>();
  const byPrototype = new Map<object, string>();
  const add = (name: string, type: ErrorClass): void => {
    const prototype = type.prototype as object;
    if (byName.has(name) && byName.get(name) !== prototype) {
      throw new PerdureError(
        "invalid_argument",
        `Two error classes are called ${name}. Stored errors find their class by its name: rename one of them.`,
      );
    }
    byName.set(name, prototype);
    byPrototype.set(prototype, name);
  };
  for (const type of builtIns) add(type.name, type);
  for (const [name, type] of own) add(ownName(name), type);
  for (const type of errors) if (!byPrototype.has(checked(type).prototype as object)) add(type.name, type);

  return {
    classOf(error) {
      for (let at = prototypeOf(error); at !== null; at = prototypeOf(at)) {
        const name = byPrototype.get(at);
        // Error itself ends the search for errors of this realm; one of another realm or copy of the package never gets there.
        if (name !== undefined && name !== "Error") return name;
      }
      return error instanceof Error ? classOfCopy(error) : classOfStranger(error, byName);
    },
    prototypeOf: (className) => byName.get(className),
  };
}

function checked(type: ErrorClass): ErrorClass {
  if (typeof type !== "function" || !isErrorLike(type.prototype) || typeof type.name !== "string" || type.name === "") {
    const got = typeof type === "function" ? type.name || "an anonymous function" : String(type);
    throw new PerdureError("invalid_argument", `\`errors\` takes named classes that extend Error; got ${got}.`);
  }
  return type;
}

/** An error of perdure's made by another copy of the package: recognised by its brand. */
function classOfCopy(error: Error): string {
  if (!isPerdureError(error)) return "Error";
  const name = String(error.name);
  return ownName(own.has(name) ? name : "PerdureError");
}

/** An error of another realm (a vm context, a test environment): its built-in class has the same name as ours. */
function classOfStranger(error: object, byName: ReadonlyMap<string, object>): string {
  for (let at = prototypeOf(error); at !== null; at = prototypeOf(at)) {
    const type: unknown = Object.getOwnPropertyDescriptor(at, "constructor")?.value;
    if (typeof type === "function" && builtIns.some((known) => known.name === type.name) && byName.has(type.name)) return type.name;
  }
  return "Error";
}

/** An Error of this realm or another. */
export function isErrorLike(value: unknown): value is Error {
  if (value instanceof Error) return true;
  if (typeof value !== "object" || value === null || Object.prototype.toString.call(value) !== "[object Error]") return false;
  return !Object.hasOwn(value, Symbol.toStringTag) && Object.getPrototypeOf(value) !== Object.prototype;
}

const prototypeOf = (object: object): object | null => Object.getPrototypeOf(object) as object | null;
