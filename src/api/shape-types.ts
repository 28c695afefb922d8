// The vocabulary that the other type files share. Type-only: nothing here exists at run time.
import type { Duration } from "../core/duration.js";

/** Carries a definition's types. It never holds a value; only {@link InputOf} and {@link ResultOf} read it. */
export declare const types: unique symbol;

/** Marks "no schema was given". */
export interface Unset {
  readonly [types]: "unset";
}

/**
 * Any schema that follows Standard Schema: zod, valibot, arktype and others.
 * Declared structurally on purpose: capturing the schema's own type costs millions of instantiations and breaks arktype.
 */
export interface StandardSchema<out Input = unknown, out Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => unknown;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** The part of a definition's options that names its input schema. */
export interface Schema<From, Parsed> {
  /** A Standard Schema, run once where a value enters (start, call, send). Its output is stored; a replay never runs it again. */
  readonly input?: StandardSchema<From, Parsed> | undefined;
}

/** What callers pass: the schema's input type where there is a schema, else what `run` takes. */
export type In<From, Parsed> = [From] extends [Unset] ? Parsed : [From] extends [infer I] ? I : never;

/** Arguments of a call: the input, then options. The input may be left out where `undefined` is an allowed input. */
export type Args<I, Options> = [input: I, options?: Options] | (undefined extends I ? [input?: I, options?: Options] : never);

/** The argument of {@link Message.of}. It may be left out where `undefined` is an allowed value. */
export type ValueArgs<I> = [value: I] | (undefined extends I ? [value?: I] : never);

/** The input type of a definition or reference. @example type Order = InputOf<typeof fulfil> */
export type InputOf<D> = D extends { readonly [types]: (input: infer I, ...rest: any) => any } ? I : never;

/** The result type of a definition or reference. @example type Outcome = ResultOf<typeof fulfil> */
export type ResultOf<D> = D extends { readonly [types]: (...args: any) => readonly [any, infer R, ...any] } ? R : never;

/**
 * How long to wait, and what then. Without `otherwise` the wait throws a `TimeoutError` (code `timeout`); with it the wait gives that value.
 * @example const ok = await ctx.receive(approved, { timeout: "3 days", otherwise: false });
 */
export interface Wait<O> {
  readonly timeout: Duration;
  readonly otherwise?: O;
}

/** A class of errors, abstract or not. */
export type ErrorClass = abstract new (...args: any) => Error;
