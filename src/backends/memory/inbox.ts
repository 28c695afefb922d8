import type { InboxItem } from "../../backend/index.js";
import { inboxRowOf } from "./copies.js";
import type { Inbox } from "./state.js";

export const createInbox = (): Inbox => ({ count: 0, unread: 0, rows: [], dedupeKeys: new Set() });

/** Appends an item and returns its position. */
export function putItem(inbox: Inbox, item: InboxItem): number {
  inbox.count += 1;
  inbox.unread += 1;
  inbox.rows.push(inboxRowOf(item, inbox.count));
  return inbox.count;
}

/** Marks items as taken and drops their payloads. Rows and dedupe keys stay until the end, so that a late duplicate is still known. */
export function consumeItems(inbox: Inbox, positions: readonly number[]): void {
  for (const position of positions) {
    const row = inbox.rows[position - 1];
    if (row === undefined || row.consumed) continue;
    inbox.rows[position - 1] = { ...row, payload: null, consumed: true };
    inbox.unread -= 1;
  }
}

/** The chain goes on with another run: what meant the one before is dropped. */
export function dropCommandItems(inbox: Inbox): void {
  consumeItems(
    inbox,
    inbox.rows.filter((row) => row.command !== null).map(({ position }) => position),
  );
}

/** The run has ended: keeps only what was accepted and never taken. */
export function closeInbox(inbox: Inbox): void {
  if (inbox.rows.length !== inbox.unread) inbox.rows = inbox.rows.filter((row) => !row.consumed);
  inbox.dedupeKeys.clear();
}
