/** What can be seen of a run without its code: state, streams, answers of updates. */
import type { Store } from "../backend/backend.js";
import type { ChunkRecord, Payload, RunTarget } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { checkKind } from "../core/check-options.js";
import { PerdureError } from "../errors.js";
import { payloadFields } from "../worker/payload-fields.js";
import { notFound } from "../worker/refusals.js";
import { readAnswer } from "../worker/update-answer.js";
import type { StreamEntry, StreamOptions, StreamReader } from "./client-types.js";
import type { State, Stream } from "./definition-types.js";
import { checkOptions } from "./define-checks.js";
import type { Watchers } from "./watchers.js";

export interface RunViewsOptions {
  readonly store: Store;
  readonly codec: Codec;
  readonly watchers: Watchers;
  readonly persist: <T>(call: () => Promise<T>) => Promise<T>;
  /** Throws once the client is closed. */
  readonly checkOpen: () => void;
}

const chunksPage = 500;

export class RunViews {
  readonly #options: RunViewsOptions;

  constructor(options: RunViewsOptions) {
    this.#options = options;
  }

  async read<V>(target: RunTarget, id: string, state: State<V>): Promise<V | undefined> {
    checkKind(state, "state", "read", "made by state(…)");
    return (await this.#published<V>(target, id, state.name))?.value;
  }

  async *watch<V>(
    target: RunTarget,
    id: string,
    state: State<V>,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<V> {
    checkKind(state, "state", "watch", "made by state(…)");
    checkOptions(options, "watch", ["signal"]);
    const { signal } = options;
    for (let version = 0; signal?.aborted !== true;) {
      // Asked for before it is looked: a change in between is not missed.
      const changed = this.#options.watchers.change(signal);
      const isOpen = await this.#isOpen(target, id);
      const published = await this.#published<V>(target, id, state.name);
      if (published !== undefined && published.version > version) {
        version = published.version;
        yield published.value;
      } else if (!isOpen) return;
      else await changed;
    }
  }

  stream<C>(target: () => Promise<RunTarget>, id: () => Promise<string>, stream: Stream<C>, options: StreamOptions = {}): StreamReader<C> {
    checkKind(stream, "stream", "stream", "made by stream(…)");
    checkOptions(options, "stream", ["from", "signal"]);
    const { from = 0 } = options;
    if (!(Number.isInteger(from) && from >= 0))
      throw new PerdureError(
        "invalid_argument",
        `The option from of stream is ${String(from)}. Give the offset of a chunk, a whole number from 0.`,
      );
    const entries = (): AsyncGenerator<StreamEntry<C>> => this.#entries<C>(target, id, stream.name, from, options.signal);
    return {
      entries,
      async *[Symbol.asyncIterator]() {
        for await (const entry of entries()) if (entry.kind === "chunk") yield entry.value;
      },
      readable: () => readableOf(entries()),
    };
  }

  /** The answer of an update, once it is there; undefined if the run has ended without one. */
  async answer(target: RunTarget, id: string, updateId: string): Promise<ReturnType<typeof readAnswer> | undefined> {
    const name = payloadFields.answer(updateId);
    for (;;) {
      const changed = this.#options.watchers.change();
      const isOpen = await this.#isOpen(target, id);
      const [entry] = await this.#entry(target, id, name);
      if (entry !== null && entry !== undefined) return readAnswer(await this.#open(entry.payload, id, name));
      if (!isOpen) return undefined;
      await changed;
    }
  }

  async #published<V>(target: RunTarget, id: string, name: string): Promise<{ readonly value: V; readonly version: number } | undefined> {
    const field = payloadFields.state(name);
    const [entry] = await this.#entry(target, id, field);
    if (entry === null || entry === undefined) return undefined;
    return { value: this.#options.codec.decode(await this.#open(entry.payload, id, field)) as V, version: entry.version };
  }

  async *#entries<C>(
    chain: () => Promise<RunTarget>,
    workflowId: () => Promise<string>,
    stream: string,
    from: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<StreamEntry<C>> {
    const { store, watchers, persist, checkOpen } = this.#options;
    const [target, id] = [await chain(), await workflowId()];
    for (let next = from; signal?.aborted !== true;) {
      checkOpen();
      const changed = watchers.change(signal);
      const page = await persist(() => store.readChunks({ target, stream, from: next, limit: chunksPage }));
      if (page === null) throw notFound(id);
      for (const chunk of page.chunks) {
        next = chunk.offset + 1;
        yield await this.#entryOf<C>(id, stream, chunk);
      }
      if (page.chunks.length === 0 && !page.isOpen) return;
      if (page.chunks.length < chunksPage && page.isOpen) await changed;
    }
  }

  async #entryOf<C>(id: string, stream: string, { offset, restartAt, payload }: ChunkRecord): Promise<StreamEntry<C>> {
    if (restartAt !== null) return { kind: "restart", offset, from: restartAt };
    const text = await this.#open(payload, id, payloadFields.chunk(stream));
    return { kind: "chunk", offset, value: this.#options.codec.decode(text) as C };
  }

  async #entry(target: RunTarget, id: string, name: string) {
    const { store, persist, checkOpen } = this.#options;
    checkOpen();
    const entries = await persist(() => store.readEntries({ target, names: [name] }));
    if (entries === null) throw notFound(id);
    return entries;
  }

  async #isOpen(target: RunTarget, id: string): Promise<boolean> {
    const { store, persist } = this.#options;
    const [found] = await persist(() => store.findRuns([target]));
    if (found === null || found === undefined) throw notFound(id);
    return found.last === null;
  }

  async #open(payload: Payload | null, workflowId: string, field: string): Promise<string> {
    const { codec } = this.#options;
    if (payload === null) return "";
    return codec.sync ? codec.openSync(payload, { workflowId, field }) : codec.open(payload, { workflowId, field });
  }
}

/** The chunks of a stream as a Web stream. */
export function readableOf<C>(entries: AsyncIterable<StreamEntry<C>>): ReadableStream<C> {
  const iterator: AsyncIterator<StreamEntry<C>, unknown> = entries[Symbol.asyncIterator]();
  return new ReadableStream<C>({
    async pull(controller) {
      for (;;) {
        const next = await iterator.next();
        if (next.done === true) return controller.close();
        if (next.value.kind === "chunk") return controller.enqueue(next.value.value);
      }
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}
