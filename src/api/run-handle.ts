import { PerdureError, CancelledError, TimeoutError } from "../errors.js";
import type { RunTarget } from "../backend/records.js";
import { parseDuration } from "../core/duration.js";
import { readEnvelope } from "../core/events.js";
import { endError } from "../worker/run-end.js";
import type { Handle, ResultWait, RunInfo, SendOptions, StreamOptions, StreamReader } from "./client-types.js";
import { checkOptions } from "./define-checks.js";
import type { ClientCore } from "./client-core.js";
import type { Message, State, Stream, Update } from "./definition-types.js";
import type { HistoryEvent, HistoryExport } from "./history-types.js";
import type { EndTarget, RunEnd } from "./result-waiters.js";
import type { Args } from "./shape-types.js";

/** What `start` and `get` give: a name for a run. It holds nothing that could be stale, so it may be kept as long as its engine is open. */
export class RunHandleImpl<R> implements Handle<R> {
  readonly id: string;
  readonly #core: ClientCore;
  /** Made by a start: the chain of that run. By an id: whichever is the newest of that id. By a run id: exactly that run. */
  readonly #target: RunTarget;

  constructor(core: ClientCore, id: string, target: RunTarget) {
    this.#core = core;
    this.id = id;
    this.#target = target;
  }

  async result<const O = never>(wait: ResultWait<O> = {}): Promise<R | O> {
    checkOptions(wait, "result", ["timeout", "otherwise", "signal"]);
    const givenUp = this.#giveUp(wait);
    try {
      for (let target = endOf(this.#target); ;) {
        const ended = await this.#waitFor(target, givenUp?.promise);
        if (ended === "timeout") return this.#late(wait);
        if (ended.status !== "continued") return (await this.#resultOf(ended, ended.status)) as R;
        target = this.#followed(ended);
      }
    } finally {
      givenUp?.cancel();
    }
  }

  async #waitFor(target: EndTarget, givenUp: Promise<"timeout"> | undefined): Promise<RunEnd | "timeout"> {
    const { end, stop } = this.#core.waitForEnd(target);
    try {
      return await (givenUp === undefined ? end : Promise.race([end, givenUp]));
    } finally {
      stop();
    }
  }

  #late<O>(wait: ResultWait<O>): O {
    if (Object.hasOwn(wait, "otherwise")) return wait.otherwise as O;
    throw new TimeoutError(`Run "${this.id}" has not ended within ${String(wait.timeout)}. It goes on: ask again, or cancel it.`, {
      details: { id: this.id },
    });
  }

  describe(): Promise<RunInfo> {
    return this.#core.reads.describe(this.#target, this.id);
  }

  history(): Promise<readonly HistoryEvent[]> {
    return this.#core.reads.history(this.#target, this.id);
  }

  export(): Promise<HistoryExport> {
    return this.#core.reads.export(this.#target, this.id);
  }

  send<I>(message: Message<any, I>, ...args: Args<NoInfer<I>, SendOptions>): Promise<void> {
    const [value, options] = args as [unknown, SendOptions?];
    return this.#core.send(this.#target, this.id, message, value, options);
  }

  update<I, T>(def: Update<I, T, any>, ...args: Args<NoInfer<I>, SendOptions>): Promise<T> {
    const [value, options] = args as [unknown, SendOptions?];
    return this.#core.update<T>(this.#target, this.id, def, value, options);
  }

  async read<V>(state: State<V>): Promise<V | undefined> {
    return this.#core.views.read(this.#target, await this.#workflowId(), state);
  }

  async *watch<V>(state: State<V>, options?: { readonly signal?: AbortSignal | undefined }): AsyncGenerator<V> {
    yield* this.#core.views.watch(await this.#chain(), await this.#workflowId(), state, options);
  }

  stream<C>(stream: Stream<C>, options?: StreamOptions): StreamReader<C> {
    return this.#core.views.stream(
      () => this.#chain(),
      () => this.#workflowId(),
      stream,
      options,
    );
  }

  cancel(reason?: string): Promise<void> {
    return this.#core.cancel(this.#target, this.id, reason);
  }

  terminate(reason?: string): Promise<void> {
    return this.#core.terminate(this.#target, this.id, reason);
  }

  resume(): Promise<void> {
    return this.#core.resume(this.#target, this.id);
  }

  #chain(): Promise<RunTarget> {
    return this.#core.reads.chainOf(this.#target, this.id);
  }

  #workflowId(): Promise<string> {
    return this.#core.reads.workflowIdOf(this.#target, this.id);
  }

  /** The run that goes on in the place of one that has ended; a handle of exactly one run does not follow it. */
  #followed(end: RunEnd): EndTarget {
    const envelope = readEnvelope(end.last.event);
    const runId = envelope.kind === "run_continued" ? envelope.runId : "";
    if (!("runId" in this.#target)) return { runId };
    throw new PerdureError("continued", `Run "${this.id}" has ended, and its chain goes on with run "${runId}".`, {
      details: { runId, id: end.workflowId },
    });
  }

  async #resultOf(end: RunEnd, status: Exclude<RunEnd["status"], "continued">): Promise<unknown> {
    const data = await this.#core.openEnd(end);
    if (status === "completed") return data;
    throw endError(status, this.id, data);
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

const endOf = (target: RunTarget): EndTarget => ("chainOf" in target ? { runId: target.chainOf } : target);
