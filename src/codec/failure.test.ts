import { types } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CancelledError, isPerdureError, NonRetryableError, PerdureError, RetryAfterError, TimeoutError } from "../errors.js";
import type { ErrorClass } from "./error-registry.js";
import { jsonCodec } from "./json-codec.js";

let constructions = 0;

class PaymentError extends Error {
  readonly #secret: string;
  readonly provider: string;
  constructor(options: { provider: string }) {
    super(`payment failed at ${options.provider}`); // throws for what a codec might pass
    this.#secret = options.provider;
    this.provider = options.provider;
    this.name = "PaymentError";
    constructions++;
  }
  describe(): string {
    return `${this.provider}: ${this.message}`;
  }
  reveal(): string {
    return this.#secret;
  }
}
class CardDeclined extends PaymentError {}
class Unregistered extends Error {
  override name = "Unregistered";
  readonly status = 404;
}

/** A class of errors with a name that is taken. */
const named = (name: string): new (message?: string) => Error => Object.defineProperty(class extends Error {}, "name", { value: name });

const codec = jsonCodec({ errors: [PaymentError] });
const there = (thrown: unknown): string => codec.encodeError(thrown);
const back = (thrown: unknown): Error & Record<string, unknown> => codec.decodeError(there(thrown)) as Error & Record<string, unknown>;
const droppedFrom = (text: string): unknown => (JSON.parse(text) as { value: { $error: { dropped?: unknown } } }).value.$error.dropped;

describe("errors keep what they are", () => {
  it("name, message, stack, cause, own properties", () => {
    const error = Object.assign(new TypeError("boom", { cause: { at: new Date(1) } }), { code: "E_BOOM", errno: -5 });
    const copy = back(error);
    expect(copy).toBeInstanceOf(TypeError);
    expect(types.isNativeError(copy)).toBe(true);
    expect([copy.name, copy.message, copy.stack, copy["code"], copy["errno"]]).toEqual(["TypeError", "boom", error.stack, "E_BOOM", -5]);
    expect(copy.cause).toEqual({ at: new Date(1) });
    expect(Object.keys(copy)).toEqual(["code", "errno"]);
  });

  it("chains of causes, and an error that is its own cause", () => {
    const inner = new RangeError("inner");
    const copy = back(new Error("outer", { cause: new Error("middle", { cause: inner }) }));
    expect(((copy.cause as Error).cause as Error).message).toBe("inner");
    expect((copy.cause as Error).cause).toBeInstanceOf(RangeError);
    inner.cause = inner;
    const circle = back(inner);
    expect(circle.cause).toBe(circle);
  });

  it("the errors of an AggregateError, also those that cannot be stored", () => {
    const copy = back(new AggregateError([new TypeError("one"), "two", () => 3], "all failed"));
    expect(copy).toBeInstanceOf(AggregateError);
    const errors = copy["errors"] as [Error, string, Error];
    expect(errors[0]).toBeInstanceOf(TypeError);
    expect(errors[1]).toBe("two");
    expect(errors[2].message).toMatch(/could not be stored: \$\.errors\[2\] is a function/);
  });

  it("a property called errors that is no list", () => {
    expect(back(Object.assign(new Error("invalid"), { errors: { email: "missing" } }))["errors"]).toEqual({ email: "missing" });
  });

  it("a DOMException, such as an abort", () => {
    const copy = back(new DOMException("stopped", "AbortError"));
    expect(copy).toBeInstanceOf(DOMException);
    expect([copy.name, copy.message]).toEqual(["AbortError", "stopped"]);
  });

  it("perdure's own", () => {
    const copy = back(new TimeoutError("too slow", { details: { ms: 5 }, cause: new CancelledError("stop") }));
    expect(copy).toBeInstanceOf(TimeoutError);
    expect(copy).toBeInstanceOf(PerdureError);
    expect(isPerdureError(copy, "timeout")).toBe(true);
    expect(isPerdureError(copy.cause, "cancelled")).toBe(true);
    expect(copy["details"]).toEqual({ ms: 5 });
    expect((back(new RetryAfterError("later", "30 s")) as unknown as RetryAfterError).delay).toBe("30 s");
    expect(back(new (class GiveUp extends NonRetryableError {})("no"))).toBeInstanceOf(NonRetryableError);
  });
});

describe("classes", () => {
  it("that are registered come back as instances of themselves, without running their constructor", () => {
    const error = new PaymentError({ provider: "acme" });
    const before = constructions;
    const copy = back(error) as unknown as PaymentError;
    expect(constructions).toBe(before);
    expect(copy).toBeInstanceOf(PaymentError);
    expect(copy.describe()).toBe("acme: payment failed at acme");
    expect(() => copy.reveal()).toThrow(TypeError);
  });

  it("that extend a registered one come back as that one, and keep their name", () => {
    const error = new CardDeclined({ provider: "acme" });
    error.name = "CardDeclined";
    const copy = back(error);
    expect(Object.getPrototypeOf(copy)).toBe(PaymentError.prototype);
    expect(copy.name).toBe("CardDeclined");
  });

  it("that are not registered come back as Error, and keep their name and properties", () => {
    const copy = back(new Unregistered("gone"));
    expect(Object.getPrototypeOf(copy)).toBe(Error.prototype);
    expect([copy.name, copy["status"]]).toEqual(["Unregistered", 404]);
  });

  it("that a process does not know are Errors there", () => {
    const copy = jsonCodec().decodeError(there(new PaymentError({ provider: "acme" }))) as Error & Record<string, unknown>;
    expect(Object.getPrototypeOf(copy)).toBe(Error.prototype);
    expect([copy.name, copy["provider"]]).toEqual(["PaymentError", "acme"]);
  });

  it("may share a name with perdure's, but not with each other or the language's", () => {
    const own = named("TimeoutError");
    expect(jsonCodec({ errors: [own] }).decodeError(jsonCodec({ errors: [own] }).encodeError(new own("mine")))).toBeInstanceOf(own);
    const twin = named("PaymentError");
    expect(() => jsonCodec({ errors: [PaymentError, PaymentError] })).not.toThrow();
    for (const errors of [[PaymentError, twin], [named("TypeError")], [class extends Error {}], [Date as unknown as ErrorClass]]) {
      expect(() => jsonCodec({ errors })).toThrow(PerdureError);
    }
  });

  it("are not looked up by names of the language's objects", () => {
    for (const name of ["constructor", "__proto__", "toString", "Object", "Function", "Date"]) {
      const copy = codec.decodeError(`{"$perdure":1,"value":{"$error":{"name":"${name}","message":"m"}}}`);
      expect(Object.getPrototypeOf(copy)).toBe(Error.prototype);
      expect(copy.name).toBe(name);
    }
  });

  it("with a getter for the name or the message are safe to revive", () => {
    class Odd extends Error {
      get code(): string {
        throw new Error("needs its constructor");
      }
    }
    Object.defineProperty(Odd.prototype, "name", {
      get(): string {
        throw new Error("no name");
      },
    });
    const odd = jsonCodec({ errors: [Odd] });
    expect(odd.decodeError(odd.encodeError(new Odd("m")))).toBeInstanceOf(Odd);
  });
});

describe("reporting a failure does not fail", () => {
  it("leaves out properties that cannot be stored, and notes which", () => {
    const shared = { request: 1 };
    const error = Object.assign(new Error("HTTP 500"), {
      status: 500,
      response: { shared, config: { transform: [() => 1] } },
      request: shared,
    });
    Object.defineProperty(error, "broken", { enumerable: true, get: () => expect.unreachable("read") as unknown });
    Object.defineProperty(error, "late", { enumerable: true, get: () => Symbol("s") });
    const text = there(error);
    expect(droppedFrom(text)).toEqual([
      "$.response.config.transform[0] is a function",
      "$.broken throws when it is read",
      "$.late is a symbol (s)",
    ]);
    const copy = codec.decodeError(text) as Error & Record<string, unknown>;
    expect([copy["status"], copy["response"], copy["request"]]).toEqual([500, undefined, { request: 1 }]);
  });

  it("leaves out a cause that cannot be stored", () => {
    const text = there(new Error("x", { cause: new WeakMap() }));
    expect(droppedFrom(text)).toEqual(["$.cause is a WeakMap"]);
    expect("cause" in codec.decodeError(text)).toBe(false);
  });

  it("in values too, such as what Promise.allSettled gives", () => {
    const reason = Object.assign(new Error("x"), { socket: () => 1 });
    const [first] = codec.decode(codec.encode([{ status: "rejected", reason }], "the result")) as [{ reason: Error }];
    expect(first.reason.message).toBe("x");
    expect(Object.keys(first.reason)).toEqual([]);
  });

  it.each([
    ["null", null, "null"],
    ["undefined", undefined, "undefined"],
    ["string", "boom", '"boom"'],
    ["object", { code: 5 }, "[object Object]"],
    ["function", () => 1, "() => 1"],
    ["symbol", Symbol("s"), "Symbol(s)"],
    ["promise", Promise.resolve(1), "[object Promise]"],
  ])("explains that %s is not an Error", (_name, thrown, shown) => {
    const copy = back(thrown);
    expect(copy.message).toContain(`Something that is not an Error was thrown: ${shown}.`);
    expect(copy.stack).not.toContain("asError");
    const storable = thrown === null || typeof thrown === "string" || shown === "[object Object]";
    expect("cause" in copy).toBe(storable);
    if (storable) expect(copy.cause).toEqual(thrown);
  });

  it("caps stacks, messages and properties, and falls back to the barest", () => {
    const error = new Error("m".repeat(100_000));
    expect(back(error).message).toMatch(/^m{65536}… \(100000 characters\)$/);
    expect(back(error).stack?.length).toBeLessThan(4200);
    expect(jsonCodec({ limits: { maxStackChars: 0 } }).encodeError(new Error("x"))).not.toContain("stack");
    const heavy = Object.assign(new Error("heavy"), { body: "b".repeat(300_000), list: new Array(20_000).fill(1), code: "E" });
    expect(droppedFrom(there(heavy))).toEqual([
      "$.body is too large or too deep for a property of an error",
      expect.stringMatching(/^\$\.list.* is too large/),
    ]);
    const bare = jsonCodec({ limits: { maxBytes: 64 } });
    const copy = bare.decodeError(bare.encodeError(error));
    expect(copy.message).toMatch(/^m{2000} \(the rest of this error was too large to store\)$/);
    let chain: Error | undefined;
    for (let i = 0; i < 5000; i++) chain = new Error(`level ${i}`, { cause: chain });
    expect(back(chain).message).toBe("level 4999");
  });

  it("whatever is thrown", () => {
    const proxy = Proxy.revocable(new Error("x"), {});
    proxy.revoke();
    const hostile = Object.defineProperties(new Error("x"), {
      stack: { value: 5 },
      name: { get: () => ({}) },
      message: { get: () => Symbol("m") },
    });
    for (const thrown of [proxy.proxy, hostile, Object.freeze(new Error("frozen")), Object.create(Error.prototype), Object.create(null)]) {
      expect(back(thrown)).toBeInstanceOf(Error);
    }
    fc.assert(
      fc.property(fc.anything({ withBoxedValues: true, withMap: true }), fc.dictionary(fc.string(), fc.anything()), (thrown, props) => {
        expect(back(thrown)).toBeInstanceOf(Error);
        const error = new Error("x", { cause: thrown });
        for (const key of Object.keys(props))
          Object.defineProperty(error, key, { value: props[key], enumerable: true, configurable: true });
        expect(back(error)).toBeInstanceOf(Error);
      }),
      { numRuns: 300 },
    );
  });

  it("and gives the same text for the copy as for the original", () => {
    const error = Object.assign(new Error("x", { cause: new TypeError("y") }), { code: 1, list: [new Date(3)] });
    expect(there(back(error))).toBe(there(error));
  });

  it("refuses to take another value for an error", () => {
    expect(() => codec.decodeError('{"message":"x"}')).toThrow(expect.objectContaining({ code: "undecodable" }));
  });
});
