import type { ChunkRecord, NewChunk, RunKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";

/** What a writer has appended to a stream since its last restart. */
interface Counted {
  readonly chunks: number;
  readonly firstOffset: number | null;
}

export interface StreamTail extends Counted {
  readonly lastNumber: number;
}

/** The streams of chains. */
export interface ChunkTable {
  /** Where the next chunk of the stream goes. */
  nextOffset(chain: RunKey, stream: string): number;
  /** The last number of a writer in a stream; 0 if it has none. */
  lastNumber(chain: RunKey, stream: string, writer: string): number;
  insert(chain: RunKey, offset: number, chunk: NewChunk): void;
  read(chain: RunKey, stream: string, from: number, limit: number): ChunkRecord[];
  tail(chain: RunKey, stream: string, writer: string): StreamTail;
}

export function chunkTable(connection: SqliteConnection): ChunkTable {
  const nextOffset = connection.prepare(
    `SELECT "offset" + 1 AS next FROM chunk WHERE chain = ? AND stream = ? ORDER BY "offset" DESC LIMIT 1`,
  );
  const lastNumber = connection.prepare(`SELECT number FROM chunk INDEXED BY chunk_by_writer
    WHERE chain = ? AND stream = ? AND writer = ? AND number > 0 ORDER BY number DESC LIMIT 1`);
  const insert = connection.prepare(
    `INSERT INTO chunk (chain, stream, "offset", writer, number, restart_at, payload) VALUES (?, ?, ?, ?, ?, ?, ?)`,
  );
  const read = connection.prepare(`SELECT "offset", writer, restart_at AS restartAt, payload FROM chunk
    WHERE chain = ? AND stream = ? AND "offset" >= ? ORDER BY "offset" LIMIT ?`);
  // Backwards over what the writer appended since its restart, which is what is counted afterwards.
  const lastRestart = connection.prepare(`SELECT number FROM chunk INDEXED BY chunk_by_writer
    WHERE chain = ? AND stream = ? AND writer = ? AND number > 0 AND restart_at IS NOT NULL ORDER BY number DESC LIMIT 1`);
  const since = connection.prepare(`SELECT count(*) AS chunks, min("offset") AS firstOffset FROM chunk INDEXED BY chunk_by_writer
    WHERE chain = ? AND stream = ? AND writer = ? AND number > 0 AND number > ?`);
  // What the workflow's own code writes has no numbers, and nobody needs its tail while the run is driven: a walk over the stream will do.
  const sinceUnnumbered = connection.prepare(`SELECT count(*) AS chunks, min("offset") AS firstOffset FROM chunk
    WHERE chain = ? AND stream = ? AND writer = '' AND "offset" > coalesce((SELECT max("offset") FROM chunk
      WHERE chain = ? AND stream = ? AND writer = '' AND restart_at IS NOT NULL), -1)`);
  const numberOf = (row: { readonly number: number } | undefined): number => row?.number ?? 0;
  const last = (chain: RunKey, stream: string, writer: string): number =>
    numberOf(lastNumber.get<{ number: number }>([chain, stream, writer]));
  return {
    nextOffset: (chain, stream) => nextOffset.get<{ next: number }>([chain, stream])?.next ?? 0,
    lastNumber: last,
    insert: (chain, offset, { stream, writer, number, restartAt, payload }) =>
      void insert.run([chain, stream, offset, writer, number, restartAt, payload]),
    read: (chain, stream, from, limit) => read.all<ChunkRecord>([chain, stream, from, limit]),
    tail(chain, stream, writer) {
      const counted =
        writer === ""
          ? sinceUnnumbered.get<Counted>([chain, stream, chain, stream])
          : since.get<Counted>([chain, stream, writer, numberOf(lastRestart.get([chain, stream, writer]))]);
      return { lastNumber: last(chain, stream, writer), chunks: 0, firstOffset: null, ...counted };
    },
  };
}
