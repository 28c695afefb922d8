import type { MemoryState } from "../../backends/memory/state.js";
import type { ChunkRecord, NewChunk, NewEntry } from "../../backend/records.js";
import { textOf } from "./record-texts.js";

type ChunkModel = Omit<NewChunk, "stream" | "payload"> & { readonly text: string | null };

/** Entries and streams of a chain, as they must be after what was committed. Answers what is wrong. */
export class ShelfModel {
  readonly #entries = new Map<string, { readonly text: string | null; readonly version: number }>();
  readonly streams = new Map<string, ChunkModel[]>();
  /** By stream, writer and number. */
  readonly #numbered = new Map<string, string>();

  write(entries: readonly NewEntry[]): void {
    for (const { name, payload } of entries)
      this.#entries.set(name, { text: textOf(payload), version: (this.#entries.get(name)?.version ?? 0) + 1 });
  }

  append(chunks: readonly NewChunk[]): string | null {
    for (const { stream, writer, number, restartAt, payload } of chunks) {
      const text = textOf(payload);
      if (number > 0) {
        const place = `${stream} ${writer} ${number}`;
        const what = `${restartAt} ${text}`;
        const known = this.#numbered.get(place);
        if (known !== undefined && known !== what)
          return `stream ${stream}: number ${number} of writer ${writer} is ${known}, and then ${what}`;
        if (known !== undefined) continue;
        this.#numbered.set(place, what);
      }
      const list = this.streams.get(stream) ?? [];
      const earlier = list.filter((chunk) => chunk.writer === writer);
      if (restartAt !== null && list[restartAt]?.writer !== writer)
        return `stream ${stream}: writer ${writer} begins again at ${restartAt}, which is not its own`;
      if (restartAt !== null && earlier.at(-1)?.restartAt !== null) return `stream ${stream}: writer ${writer} begins again twice in a row`;
      list.push({ writer, number, restartAt, text });
      this.streams.set(stream, list);
    }
    return null;
  }

  /** Compares with what the store holds of the chain. */
  differs(state: MemoryState, chain: number): string | null {
    const entries = state.entries.get(chain);
    if ((entries?.size ?? 0) !== this.#entries.size) return `there are ${entries?.size ?? 0} entries of ${this.#entries.size}`;
    for (const [name, { text, version }] of this.#entries) {
      const entry = entries?.get(name);
      if (entry === undefined || textOf(entry.payload) !== text || entry.version !== version)
        return `entry ${name} is ${entry === undefined ? "gone" : `${textOf(entry.payload)} (${entry.version})`}, not ${text} (${version})`;
    }
    const streams = state.streams.get(chain);
    for (const [name, chunks] of this.streams) {
      const stored = streams?.get(name)?.chunks ?? [];
      if (stored.length !== chunks.length) return `stream ${name} has ${stored.length} chunks of ${chunks.length}`;
      const [last, mine] = [stored.at(-1), chunks.at(-1)];
      if (last !== undefined && mine !== undefined && !sameChunk(last, mine, stored.length - 1))
        return `stream ${name} ends with ${textOf(last.payload)} at ${last.offset}, not with ${mine.text}`;
    }
    return null;
  }
}

export const sameChunk = (stored: ChunkRecord, mine: ChunkModel, offset: number): boolean =>
  stored.offset === offset && stored.writer === mine.writer && stored.restartAt === mine.restartAt && textOf(stored.payload) === mine.text;
