import type { StepContext } from "../api/context-types.js";
import type { Stream } from "../api/definition-types.js";
import { TimeoutError } from "../errors.js";
import { runBody, runUnmarked } from "../platform/code-mark.js";
import type { Runtime, TimerHandle } from "../platform/runtime.js";
import type { StreamWriter } from "./stream-writer.js";

export interface BodyOptions {
  readonly runtime: Runtime;
  readonly attempt: number;
  readonly idempotencyKey: string;
  /** How long it may take, in ms; null for no limit. */
  readonly timeoutMs: number | null;
  /** What it fails with then, if not with the TimeoutError itself. */
  readonly failureOf?: ((timeout: TimeoutError) => Error) | undefined;
  /** Is its own outcome waited for after its timeout? Default: false. */
  readonly decidesItself?: boolean;
  /** For the message of a timeout: `step "charge"`. */
  readonly what: string;
  /** The command that it is the body of. */
  readonly command: number;
  /** What the body of a command writes to streams with; asked for once it does. */
  readonly streamsOf: (command: number) => StreamWriter;
  readonly run: (io: BodyIo) => unknown;
  readonly onDone: (outcome: BodyOutcome) => void;
}

export type BodyOutcome = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown };

/** What a body is handed; an activity's is built upon it. */
export type BodyIo = StepContext;

/**
 * A body of user code that runs once, outside of any turn: a step's or an activity's. The first of its settling and its timeout counts; a body that
 * goes on after its timeout is told by its signal and not waited for, unless it decides itself how it ends.
 */
export class Body {
  readonly #options: BodyOptions;
  #controller: AbortController | undefined;
  #abortReason: Error | undefined;
  #timer: TimerHandle | undefined;
  #done = false;
  #revoked = false;
  #streams: StreamWriter | undefined;

  constructor(options: BodyOptions) {
    this.#options = options;
  }

  /** Separate from making it: a body that needs no waiting is done before this returns, and whoever keeps it must know it by then. */
  start(): void {
    const { runtime, timeoutMs, run } = this.#options;
    if (timeoutMs !== null) this.#timer = runtime.setTimer(() => this.#timeOut(timeoutMs), timeoutMs);
    const io = new BodyContext(this, this.#options);
    runBody(() => execute(run, io, (outcome) => this.#finish(outcome)));
  }

  /** Fires the body's AbortSignal, and takes its right to write to streams. Whoever aborts drops its outcome. */
  abort(reason: Error): void {
    this.#revoked = true;
    this.#streams?.stop();
    this.ask(reason);
  }

  /** Fires the body's AbortSignal; what it makes of that counts. */
  ask(reason: Error): void {
    this.#timer?.cancel();
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }

  /** Made when it is asked for: most bodies never look at it, and an AbortController costs more than the rest of a short step. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    return this.#controller.signal;
  }

  get streams(): StreamWriter {
    if (this.#streams === undefined) {
      this.#streams = this.#options.streamsOf(this.#options.command);
      if (this.#done || this.#revoked) this.#streams.stop();
    }
    return this.#streams;
  }

  #timeOut(timeoutMs: number): void {
    const error = new TimeoutError(`An attempt of ${this.#options.what} took longer than its timeout of ${timeoutMs} ms.`, {
      details: { timeoutMs },
    });
    this.abort(error);
    if (this.#options.decidesItself !== true) this.#finish({ ok: false, error: this.#options.failureOf?.(error) ?? error });
  }

  #finish(outcome: BodyOutcome): void {
    if (this.#done) return;
    this.#done = true;
    this.#timer?.cancel();
    // What follows is the engine's doing, not the body's. What it wrote is stored, or refused, before it is over.
    const tell = (): void => runUnmarked(() => this.#options.onDone(outcome));
    if (this.#streams === undefined) tell();
    else void this.#streams.close().then(tell);
  }
}

/** What the body is handed. Destructuring reads the getter too. */
class BodyContext implements StepContext {
  readonly attempt: number;
  readonly idempotencyKey: string;
  readonly #body: Body;
  constructor(body: Body, options: BodyOptions) {
    this.#body = body;
    this.attempt = options.attempt;
    this.idempotencyKey = options.idempotencyKey;
  }
  get signal(): AbortSignal {
    return this.#body.signal;
  }
  // Functions of their own, since the context is made to be destructured; made when they are asked for.
  get write(): StepContext["write"] {
    const body = this.#body;
    return (stream, chunk) => body.streams.write(stream, chunk);
  }
  get written(): StepContext["written"] {
    const body = this.#body;
    return (stream: Stream<any>) => body.streams.written(stream);
  }
}

/** Not an async function: that would make a promise for every body, and most of the short ones need none. */
function execute(run: (io: BodyIo) => unknown, io: BodyIo, finish: (outcome: BodyOutcome) => void): void {
  const failed = (error: unknown): void => finish({ ok: false, error });
  let value: unknown;
  try {
    value = run(io);
    if (isThenable(value)) {
      Promise.resolve(value).then((settled) => finish({ ok: true, value: settled }), failed);
      return;
    }
  } catch (error) {
    failed(error);
    return;
  }
  finish({ ok: true, value });
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  (typeof value === "object" || typeof value === "function") && value !== null && "then" in value && typeof value.then === "function";
