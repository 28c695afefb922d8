import { CancelledError, PerdureError, RunFailedError, TimeoutError } from "../errors.js";
import { parseDuration } from "../core/duration.js";
import type { Handle, ResultWait, RunInfo, SendOptions } from "./client-types.js";
import { checkOptions } from "./define-checks.js";
import type { ClientCore } from "./client-core.js";
import type { Message } from "./definition-types.js";
import type { HistoryEvent } from "./history-types.js";
import type { RunEnd, RunTarget } from "./result-waiters.js";
import type { Args } from "./shape-types.js";

/** What `start` and `get` give: a name for a run. It holds nothing that could be stale, so it may be kept as long as its engine is open. */
export class RunHandleImpl<R> implements Handle<R> {
  readonly id: string;
  readonly #core: ClientCore;
  /** Made by a start: that very execution. By an id: whichever is the newest of that id. */
  readonly #target: RunTarget;

  constructor(core: ClientCore, id: string, target: RunTarget) {
    this.#core = core;
    this.id = id;
    this.#target = target;
  }

  async result<const O = never>(wait: ResultWait<O> = {}): Promise<R | O> {
    checkOptions(wait, "result", ["timeout", "otherwise", "signal"]);
    const { end, stop } = this.#core.waitForEnd(this.#target);
    const givenUp = this.#giveUp(wait);
    try {
      const ended = await (givenUp === undefined ? end : Promise.race([end, givenUp.promise]));
      if (ended === "timeout") {
        if (Object.hasOwn(wait, "otherwise")) return wait.otherwise as O;
        throw new TimeoutError(`Run "${this.id}" has not ended within ${String(wait.timeout)}. It goes on: ask again, or cancel it.`, {
          details: { id: this.id },
        });
      }
      return (await this.#resultOf(ended)) as R;
    } finally {
      stop();
      givenUp?.cancel();
    }
  }

  describe(): Promise<RunInfo> {
    return this.#core.describe(this.#target, this.id);
  }

  history(): Promise<readonly HistoryEvent[]> {
    return this.#core.history(this.#target, this.id);
  }

  send<I>(message: Message<any, I>, ...args: Args<NoInfer<I>, SendOptions>): Promise<void> {
    const [value, options] = args as [unknown, SendOptions?];
    return this.#core.send(this.#target, this.id, message, value, options);
  }

  cancel(reason?: string): Promise<void> {
    return this.#core.cancel(this.#target, this.id, reason);
  }

  resume(): Promise<void> {
    return this.#core.resume(this.#target, this.id);
  }

  async #resultOf(end: RunEnd): Promise<unknown> {
    const data = await this.#core.openEnd(end);
    switch (end.status) {
      case "completed":
      case "continued":
        return data;
      case "failed":
        throw new RunFailedError(`Run "${this.id}" failed: ${data instanceof Error ? data.message : String(data)}`, {
          cause: data,
          details: { id: this.id },
        });
      case "cancelled":
        throw new CancelledError(data instanceof Error ? data.message : `Run "${this.id}" was cancelled.`, {
          cause: data,
          details: { id: this.id },
        });
      case "terminated":
        throw new PerdureError("terminated", `Run "${this.id}" was terminated.`, { details: { id: this.id } });
      default:
        return end.status satisfies never;
    }
  }

  #giveUp(wait: ResultWait<unknown>): { readonly promise: Promise<"timeout">; readonly cancel: () => void } | undefined {
    const { timeout, signal } = wait;
    if (timeout === undefined && signal === undefined) return undefined;
    let cancel = (): void => undefined;
    const promise = new Promise<"timeout">((resolve, reject) => {
      const timeoutMs = timeout === undefined ? undefined : parseDuration(timeout, "the timeout of handle.result");
      const timer =
        timeoutMs === undefined ? undefined : this.#core.runtime.setTimer(() => resolve("timeout"), timeoutMs, { keepAlive: true });
      const onAbort = (): void =>
        reject(signal?.reason instanceof Error ? signal.reason : new CancelledError("The wait for the result was aborted."));
      if (signal?.aborted === true) onAbort();
      signal?.addEventListener("abort", onAbort, { once: true });
      cancel = () => {
        timer?.cancel();
        signal?.removeEventListener("abort", onAbort);
      };
    });
    // Whoever does not lose the race to it never looks at it again.
    promise.catch(() => undefined);
    return { promise, cancel };
  }
}
