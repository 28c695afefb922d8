/** What is read of runs: what they are, what has happened to them, and which there are. */
import type { Store } from "../backend/backend.js";
import type { HistoryRecord, RunOutcome, RunRecord, RunTarget } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { writeAttributes } from "../core/attributes.js";
import { isTerminal, readEnvelope } from "../core/events.js";
import { fieldOfEvent, payloadFields } from "../worker/payload-fields.js";
import { notFound } from "../worker/refusals.js";
import { readRunOptions } from "../worker/run-options.js";
import type { Filter, RunInfo } from "./client-types.js";
import type { HistoryEvent, HistoryExport } from "./history-types.js";
import type { RunEnd } from "./result-waiters.js";
import { checkFilter, errorInfo, infoOf, readHistory, statusOf, waitsOf } from "./run-info.js";

export interface RunReadsOptions {
  readonly store: Store;
  readonly codec: Codec;
  readonly persist: <T>(call: () => Promise<T>) => Promise<T>;
  /** Throws once the client is closed. */
  readonly checkOpen: () => void;
}

const historyPage = 1000;
const listPage = 200;

export class RunReads {
  readonly #options: RunReadsOptions;

  constructor(options: RunReadsOptions) {
    this.#options = options;
  }

  /** The id of a run's workflow, to which its payloads are bound: known, unless only its run id is. */
  async workflowIdOf(target: RunTarget, id: string): Promise<string> {
    return "runId" in target && target.runId === id ? (await this.find(target, id)).run.workflowId : id;
  }

  /** What a target means now, for whoever looks at it for a while: another run may be started under the same id meanwhile. */
  async chainOf(target: RunTarget, id: string): Promise<RunTarget> {
    return "workflowId" in target ? { chainOf: (await this.find(target, id)).run.runId } : target;
  }

  async find(target: RunTarget, id: string): Promise<RunOutcome> {
    const { store, persist, checkOpen } = this.#options;
    checkOpen();
    const [found] = await persist(() => store.findRuns([target]));
    if (found === null || found === undefined) throw notFound(id);
    return found;
  }

  /** The result, or the error, of an ended run. */
  async openEnd(end: RunEnd): Promise<unknown> {
    const { codec } = this.#options;
    const { payload, event } = end.last;
    if (payload === null) return undefined;
    const context = { workflowId: end.workflowId, field: fieldOfEvent(readEnvelope(event)) };
    const text = codec.sync ? codec.openSync(payload, context) : await codec.open(payload, context);
    return end.status === "completed" ? codec.decode(text) : codec.decodeError(text);
  }

  /** The encoded input of a run; undefined if it cannot be told. */
  async inputText(run: RunRecord): Promise<string | undefined> {
    const { store, codec, persist } = this.#options;
    const [line] = await persist(() => store.loadHistory({ key: run.key, fromSeq: 1, limit: 1 }));
    const [box] = line === undefined ? await persist(() => store.loadInboxes([{ key: run.key, above: 0 }])) : [];
    const payload = line?.payload ?? box?.find((item) => item.kind === "start")?.payload;
    if (payload === undefined || payload === null) return undefined;
    return codec.open(payload, { workflowId: run.workflowId, field: payloadFields.input });
  }

  async describe(target: RunTarget, id: string): Promise<RunInfo> {
    const { store } = this.#options;
    const found = await this.find(target, id);
    const info = infoOf(found.run, store.now());
    const events = await this.#events(found.run);
    const last = events.at(-1);
    const ended = found.last !== null;
    const cancelled = events.some((event) => event.kind === "cancel_requested") || (!ended && (await this.#cancelUnread(found.run)));
    return {
      ...info,
      progressAt: last?.at,
      waitingFor: ended ? [] : events.length === 0 ? [{ kind: "worker", until: info.startAt }] : waitsOf(events),
      cancelRequested: ended ? undefined : cancelled,
      error: ended && last?.data instanceof Error ? errorInfo(last.data) : undefined,
    };
  }

  async history(target: RunTarget, id: string): Promise<readonly HistoryEvent[]> {
    return this.#events((await this.find(target, id)).run);
  }

  async export(target: RunTarget, id: string): Promise<HistoryExport> {
    const { codec } = this.#options;
    const { run } = await this.find(target, id);
    const { attempt = 1, headers } = readRunOptions(run.options);
    const lines: HistoryExport["lines"][number][] = [];
    for (const { seq, at, event, payload } of await this.#lines(run)) {
      const context = { workflowId: run.workflowId, field: fieldOfEvent(readEnvelope(event)) };
      lines.push({ seq, at, event, payload: payload === null ? null : await codec.open(payload, context) });
    }
    return {
      format: "perdure-history-1",
      id: run.workflowId,
      runId: run.runId,
      name: run.name,
      version: run.version ?? undefined,
      attempt,
      deadlineAt: run.deadlineAt ?? undefined,
      headers,
      lines,
    };
  }

  async *list(filter: Filter = {}): AsyncGenerator<RunInfo> {
    const { store, persist, checkOpen } = this.#options;
    checkOpen();
    const wanted = checkFilter(filter);
    const attributes = filter.attributes === undefined ? undefined : writeAttributes(filter.attributes, "the filter of list");
    let before: number | undefined;
    let left = filter.limit ?? Infinity;
    while (left > 0) {
      const page = await persist(() =>
        store.listRuns({ name: filter.name, workflowIdPrefix: filter.idPrefix, attributes, before, limit: listPage }),
      );
      for (const run of page) {
        if (wanted?.has(statusOf(run, store.now())) === false) continue;
        yield infoOf(run, store.now());
        if (--left <= 0) return;
      }
      if (page.length < listPage) return;
      before = page.at(-1)?.key;
    }
  }

  async #events(run: RunRecord): Promise<HistoryEvent[]> {
    return readHistory(this.#options.codec, run.workflowId, await this.#lines(run));
  }

  async #lines(run: RunRecord): Promise<HistoryRecord[]> {
    const { store, persist } = this.#options;
    const records: HistoryRecord[] = [];
    for (;;) {
      const page = await persist(() => store.loadHistory({ key: run.key, fromSeq: records.length + 1, limit: historyPage }));
      records.push(...page);
      const last = page.at(-1);
      if (page.length < historyPage || last === undefined || isTerminal(readEnvelope(last.event))) return records;
    }
  }

  async #cancelUnread(run: RunRecord): Promise<boolean> {
    const { store, persist } = this.#options;
    const [box] = await persist(() => store.loadInboxes([{ key: run.key, above: 0 }]));
    return box?.some((item) => item.kind === "cancel") === true;
  }
}
