import type { HistoryRecord, Payload } from "../../backend/records.js";

export const textOf = (payload: Payload | null): string | null =>
  payload === null || typeof payload === "string" ? payload : `bytes:${payload.length}`;

export const sameLine = (a: HistoryRecord, b: HistoryRecord): boolean =>
  a.seq === b.seq && a.at === b.at && a.event === b.event && textOf(a.payload) === textOf(b.payload);
