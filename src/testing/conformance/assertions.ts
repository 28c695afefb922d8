import assert from "node:assert/strict";
import type { HistoryRecord, InboxRecord, Payload, RunRecord, Store } from "../../backend/index.js";

/** Asserts the status of an outcome and narrows it. */
export function expectStatus<Outcome extends { readonly status: string }, Status extends Outcome["status"]>(
  outcome: Outcome,
  status: Status,
): Extract<Outcome, { readonly status: Status }> {
  assert.equal(outcome.status, status, `expected the outcome "${status}", got ${JSON.stringify(outcome)}`);
  return outcome as Extract<Outcome, { readonly status: Status }>;
}

/** Makes payloads comparable: drivers return bytes in classes of their own, and text must not pass for bytes. */
export const plainPayload = (payload: Payload | null): string | null =>
  payload instanceof Uint8Array ? `bytes ${Buffer.from(payload).toString("hex")}` : payload === null ? null : `text ${payload}`;

export function assertSamePayload(actual: Payload | null, expected: Payload | null, message?: string): void {
  const same = plainPayload(actual) === plainPayload(expected);
  // Not `assert.equal`: a difference between two megabytes is no readable message.
  if (!same) assert.fail(`${message ?? "payload"}: expected ${brief(expected)}, got ${brief(actual)}`);
}

const brief = (payload: Payload | null): string => {
  const text = plainPayload(payload) ?? "null";
  return text.length > 80 ? `${text.slice(0, 80)}… (${text.length} characters)` : text;
};

const plain = <Record extends { readonly payload: Payload | null }>(record: Record): Record => ({
  ...record,
  payload: plainPayload(record.payload),
});

export function assertSameLines(actual: readonly HistoryRecord[], expected: readonly HistoryRecord[]): void {
  assert.deepEqual(actual.map(plain), expected.map(plain));
}

/** Everything that clients and workers can read about a run; two of them are equal if nothing was touched. */
export interface Snapshot {
  readonly run: RunRecord;
  readonly last: HistoryRecord | null;
  readonly history: readonly HistoryRecord[];
  readonly unread: readonly InboxRecord[];
}

export async function snapshotOf(store: Store, target: { readonly workflowId: string } | { readonly runId: string }): Promise<Snapshot> {
  const [found] = await store.findRuns([target]);
  assert.ok(found, `there is no run ${JSON.stringify(target)}`);
  const { key } = found.run;
  const history = await store.loadHistory({ key, fromSeq: 1, limit: 1_000_000 });
  const [unread] = await store.loadInboxes([{ key, above: 0 }]);
  assert.ok(unread, "loadInboxes must answer for each run");
  return { run: found.run, last: found.last && plain(found.last), history: history.map(plain), unread: unread.map(plain) };
}
