/** What a body appends to streams of its run. Chunks are numbered, so that a batch whose answer was lost can be sent again. */
import type { Stream } from "../api/definition-types.js";
import type { Store } from "../backend/backend.js";
import type { AppendOperation } from "../backend/operations.js";
import type { NewChunk, Payload, RunKey } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { checkKind } from "../core/check-options.js";
import { PerdureError } from "../errors.js";
import type { GroupCommit } from "./group-commit.js";
import { payloadFields } from "./payload-fields.js";

/** Under which right a body writes now; undefined once it has lost it. Changes when its run is claimed anew by the same process. */
export type WriteRight = { readonly key: RunKey; readonly on: AppendOperation["on"] };

export interface StreamWriterOptions {
  readonly store: Store;
  readonly commits: GroupCommit;
  readonly codec: Codec;
  readonly workflowId: string;
  /** The command of the step or activity. */
  readonly command: number;
  /** Waits while the run is being claimed anew. */
  readonly right: () => Promise<WriteRight | undefined>;
  readonly persist: <T>(call: () => Promise<T>) => Promise<T>;
}

interface StreamState {
  readonly writer: string;
  number: number;
  /** Where what earlier attempts wrote begins, until it was gone on behind, or marked as void. */
  earlierFrom: number | null;
  earlierCount: number;
}

interface Waiting {
  readonly chunk: NewChunk;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class StreamWriter {
  readonly #options: StreamWriterOptions;
  readonly #streams = new Map<string, Promise<StreamState>>();
  /** Chunks are put in line in the order of the calls, whatever each has to wait for. */
  #line: Promise<unknown> = Promise.resolve();
  readonly #waiting: Waiting[] = [];
  #flushing: Promise<void> | undefined;
  /** Has the body ended? It may have left something behind that still wants to write. */
  #closed = false;
  #stopped = false;

  constructor(options: StreamWriterOptions) {
    this.#options = options;
  }

  async write(stream: Stream<any>, chunk: unknown): Promise<void> {
    checkKind(stream, "stream", "write", "made by stream(…)");
    if (this.#closed || this.#stopped) throw lost();
    const { codec, workflowId } = this.#options;
    const { name } = stream;
    const text = codec.encode(chunk, `a chunk of stream "${name}"`);
    const queued = this.#line.then(async () => {
      const state = await this.#stream(name);
      const payload = codec.sync ? text : await codec.seal(text, { workflowId, field: payloadFields.chunk(name) });
      if (state.earlierFrom !== null) void this.#queue(name, state, state.earlierFrom, null).catch(() => undefined);
      state.earlierFrom = null;
      return { stored: this.#queue(name, state, null, payload) };
    });
    this.#line = queued.catch(() => undefined);
    await (
      await queued
    ).stored;
  }

  /** What earlier attempts have stored; from now on it counts, and this attempt goes on behind it. */
  async written(stream: Stream<any>): Promise<number> {
    checkKind(stream, "stream", "written", "made by stream(…)");
    const state = await this.#stream(stream.name);
    state.earlierFrom = null;
    return state.earlierCount;
  }

  /** Takes nothing more. Resolves when all that was under way is answered: the next attempt must not meet it. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#line;
    await this.#flushing;
  }

  /** Sends nothing more: a body that lost its right must not write under one that this process is given later. */
  stop(): void {
    this.#stopped = true;
  }

  #stream(name: string): Promise<StreamState> {
    let state = this.#streams.get(name);
    if (state === undefined) {
      state = this.#read(name);
      this.#streams.set(name, state);
      // A read that failed is made again by the next call.
      state.catch(() => this.#streams.delete(name));
    }
    return state;
  }

  async #read(stream: string): Promise<StreamState> {
    const { store, persist, command } = this.#options;
    const { key } = await this.#right();
    // Of this very run: the stream is its chain's, and another run of it has commands of the same numbers.
    const writer = `${key}/${command}`;
    const { lastNumber, chunks, firstOffset } = await persist(() => store.readStreamTail({ key, stream, writer }));
    return { writer, number: lastNumber, earlierFrom: firstOffset, earlierCount: chunks };
  }

  #queue(stream: string, state: StreamState, restartAt: number | null, payload: Payload | null): Promise<void> {
    const chunk = { stream, writer: state.writer, number: ++state.number, restartAt, payload };
    return new Promise((resolve, reject) => {
      this.#waiting.push({ chunk, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  /** One append at a time, with all that has come meanwhile: the chunks of one writer must not overtake one another. */
  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, chunksMax);
      try {
        await this.#append(batch.map(({ chunk }) => chunk));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#flushing = undefined;
  }

  async #append(chunks: readonly NewChunk[]): Promise<void> {
    const { commits, persist } = this.#options;
    for (let refused: AppendOperation["on"] | undefined; ;) {
      const { on } = await this.#right();
      // The same right was refused before: somebody else has it.
      if (refused !== undefined && refused.epoch === on.epoch) throw lost();
      const { status } = await persist(() => commits.submit({ type: "append", on, chunks }));
      if (status === "appended") return;
      refused = on;
    }
  }

  async #right(): Promise<WriteRight> {
    const right = await this.#options.right();
    if (right === undefined || this.#stopped) throw lost();
    return right;
  }
}

/** So many chunks go into one append at most: the commit they are part of must not hold up others. */
const chunksMax = 500;

const lost = (): PerdureError =>
  new PerdureError("lease_lost", "The body can write to no stream any more: its run or activity goes on elsewhere, or has ended.");
