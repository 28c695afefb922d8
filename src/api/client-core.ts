/** What clients and engines share: the calls of the public API, translated into operations of the store. */
import type { Store } from "../backend/backend.js";
import type { Outcome, SendOperation, StartOperation } from "../backend/operations.js";
import type { HistoryRecord, InboxItem, NewRun, Payload, RunOutcome, RunRecord } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { inputHash } from "../codec/input-hash.js";
import { parseDuration } from "../core/duration.js";
import { engineVersion, isTerminal, readEnvelope } from "../core/events.js";
import { checkName } from "../core/names.js";
import { isPerdureError, PerdureError } from "../errors.js";
import type { Runtime } from "../platform/runtime.js";
import type { GroupCommit } from "../worker/group-commit.js";
import { fieldOfEvent, payloadFields } from "../worker/payload-fields.js";
import { isUnknownOutcome, persist } from "../worker/persist.js";
import type { Worker } from "../worker/worker.js";
import type { Filter, Handle, RunInfo, SendOptions, StartOptions } from "./client-types.js";
import type { Logger } from "./context-types.js";
import type { AnyWorkflow, Envelope, Message, WorkflowRef } from "./definition-types.js";
import { checkOptions } from "./define-checks.js";
import type { HistoryEvent } from "./history-types.js";
import type { ResultWaiters, RunEnd, RunTarget } from "./result-waiters.js";
import { RunHandleImpl } from "./run-handle.js";
import { checkFilter, errorInfo, infoOf, readHistory, statusOf, waitsOf } from "./run-info.js";
import { parseInput } from "./schema.js";

export interface ClientCoreOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly codec: Codec;
  readonly commits: GroupCommit;
  readonly waiters: ResultWaiters;
  readonly logger: Logger;
  /** The worker of this process, if it has one. */
  readonly worker: Worker | undefined;
}

interface Sealed {
  readonly item: InboxItem;
  readonly text: string;
}

interface PreparedStart {
  readonly run: NewRun;
  readonly text: string;
  readonly input: Payload;
  readonly messages: readonly Sealed[];
  readonly dueAt: number | null;
}

const historyPage = 1000;
const listPage = 200;

export class ClientCore {
  readonly runtime: Runtime;
  readonly #options: ClientCoreOptions;
  #closed = false;

  constructor(options: ClientCoreOptions) {
    this.#options = options;
    this.runtime = options.runtime;
  }

  close(): void {
    this.#closed = true;
    this.#options.waiters.close(closedError());
  }

  async start<R>(def: WorkflowRef<any, R>, input: unknown, options: StartOptions = {}): Promise<Handle<R>> {
    this.#checkOpen();
    if ((def as Partial<typeof def> | undefined)?.kind !== "workflow")
      throw new PerdureError("invalid_argument", "start takes a workflow (or workflowRef) as its first argument.");
    checkOptions(options, `start of workflow "${def.name}"`, ["id", "timeout", "delay", "send"]);
    const prepared = await this.#prepare(def, input, options);
    const { workflowId, runId } = prepared.run;
    const outcome = await this.#submitStart(def, prepared);
    const handle = (run: string): Handle<R> => new RunHandleImpl<R>(this, workflowId, { runId: run });
    if (outcome.status === "started" || outcome.run.runId === runId) return handle(runId);
    await this.#checkSame(outcome.run, prepared);
    return handle(outcome.run.runId);
  }

  handle<R>(id: string): Handle<R> {
    checkName(id, "the id of a run");
    return new RunHandleImpl<R>(this, id, { workflowId: id });
  }

  waitForEnd(target: RunTarget): { readonly end: Promise<RunEnd>; readonly stop: () => void } {
    if (this.#closed) return { end: Promise.reject(closedError()), stop: () => undefined };
    return this.#options.waiters.wait(target, "runId" in target && this.#options.worker?.drives(target.runId) === true);
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

  async send(target: RunTarget, id: string, message: Message<any, any>, value: unknown, options: SendOptions = {}): Promise<void> {
    this.#checkOpen();
    if ((message as Partial<typeof message> | undefined)?.kind !== "message")
      throw new PerdureError("invalid_argument", "send takes a message definition as its first argument.");
    checkOptions(options, `send of message "${message.name}"`, ["key"]);
    if (options.key !== undefined) checkName(options.key, "the key of a message");
    const { item } = await this.#sealMessage(message, value, id);
    await this.#deliver(target, id, item, options.key === undefined ? `send/${this.runtime.uuid()}` : `key/${options.key}`);
  }

  async cancel(target: RunTarget, id: string, reason: string | undefined): Promise<void> {
    this.#checkOpen();
    if (reason !== undefined && typeof reason !== "string")
      throw new PerdureError("invalid_argument", "The reason of a cancel must be a string.");
    const text = this.#options.codec.encode(reason, "the reason of the cancel");
    const payload = await this.#seal(text, id, payloadFields.cancel);
    await this.#deliver(
      target,
      id,
      { kind: "cancel", name: "", command: null, attempt: null, payload, options: null },
      `cancel/${this.runtime.uuid()}`,
    );
  }

  async resume(target: RunTarget, id: string): Promise<void> {
    this.#checkOpen();
    const outcome = await this.#persist(() => this.#options.commits.submit({ type: "resume", target }));
    if (outcome.status === "not_found") throw notFound(id);
    this.#options.worker?.onRunsDue();
  }

  async describe(target: RunTarget, id: string): Promise<RunInfo> {
    const { store } = this.#options;
    const found = await this.#find(target, id);
    const info = infoOf(found.run, store.now());
    const events = await this.#readHistory(found.run);
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
    return this.#readHistory((await this.#find(target, id)).run);
  }

  async *list(filter: Filter = {}): AsyncGenerator<RunInfo> {
    this.#checkOpen();
    const wanted = checkFilter(filter);
    const { store } = this.#options;
    let before: number | undefined;
    let left = filter.limit ?? Infinity;
    while (left > 0) {
      const page = await this.#persist(() =>
        store.listRuns({ name: filter.name, workflowIdPrefix: filter.idPrefix, before, limit: listPage }),
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

  // Starts. ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #prepare(def: WorkflowRef<any, any>, raw: unknown, options: StartOptions): Promise<PreparedStart> {
    const { codec, store } = this.#options;
    const definition = def as Partial<AnyWorkflow>;
    const parsed = parseInput(definition.input, raw, `The input of workflow "${def.name}"`);
    const input = parsed instanceof Promise ? ((await parsed) as unknown) : parsed;
    const text = codec.encode(input, `the input of workflow "${def.name}"`);
    const workflowId = options.id ?? definition.options?.id?.(input) ?? this.runtime.uuid();
    checkName(workflowId, "the id of a run");
    const timeout = options.timeout ?? definition.options?.timeout;
    const dueAt = this.#dueAt(options.delay);
    const messages: Sealed[] = [];
    for (const envelope of options.send ?? []) messages.push(await this.#sealEnvelope(envelope, workflowId));
    const run: NewRun = {
      workflowId,
      runId: this.runtime.uuid(),
      name: def.name,
      route: def.name,
      version: definition.version ?? null,
      engineVersion,
      parentRunId: null,
      options: null,
      // A hash says something about its input: with a chain that hides payloads it is not stored, and a conflict is found by opening the stored one.
      inputHash: codec.sync ? inputHash(text) : "",
      // From when it begins: a run that waits for its time has not taken any yet.
      deadlineAt:
        timeout === undefined ? null : Math.max(store.now(), dueAt ?? 0) + parseDuration(timeout, `the timeout of workflow "${def.name}"`),
    };
    const payload = codec.sync ? text : await this.#seal(text, workflowId, payloadFields.input);
    return { run, text, input: payload, messages, dueAt };
  }

  #dueAt(delay: StartOptions["delay"]): number | null {
    if (delay === undefined) return null;
    if (!(delay instanceof Date)) return this.#options.store.now() + parseDuration(delay, "the delay of a start");
    const time = delay.getTime();
    if (Number.isNaN(time)) throw new PerdureError("invalid_argument", "The delay of a start is an invalid Date.");
    return time;
  }

  async #submitStart(def: WorkflowRef<any, any>, start: PreparedStart): Promise<Outcome<StartOperation>> {
    const { commits, worker } = this.#options;
    const operation = (eager: StartOperation["eager"]): StartOperation => ({
      type: "start",
      run: start.run,
      input: start.input,
      messages: start.messages.map(({ item }) => item),
      dueAt: start.dueAt,
      reuse: "never",
      terminates: null,
      attributes: [],
      eager,
    });
    if (start.dueAt === null && worker?.accepts(def.name) === true) {
      try {
        return await worker.startEagerly({
          run: start.run,
          inputText: start.text,
          input: start.input,
          messages: start.messages,
          operation,
        });
      } catch (error) {
        // A worker that lost its lease or closes before the commit has not stored it; after it, it may be stored and this worker's. It finds itself by its run id.
        if (!isUnknownOutcome(error) && !isPerdureError(error, "lease_lost") && !isPerdureError(error, "shutdown")) throw error;
        const outcome = await this.#persist(() => commits.submit(operation(null)));
        if (outcome.status === "exists" && outcome.run.runId === start.run.runId) await worker.reclaim(outcome.run.key, outcome.run.epoch);
        else worker.onRunsDue();
        return outcome;
      }
    }
    const outcome = await this.#persist(() => commits.submit(operation(null)));
    if (outcome.status === "started") worker?.onRunsDue();
    return outcome;
  }

  /** The same id must mean the same thing: another workflow or another input is a conflict, not a second start. */
  async #checkSame(run: RunRecord, start: PreparedStart): Promise<void> {
    const sameName = run.name === start.run.name;
    if (sameName && (await this.#sameInput(run, start))) return;
    throw new PerdureError(
      "id_conflict",
      `There is a run "${run.workflowId}" already, ${sameName ? "with another input" : `of workflow "${run.name}"`}. Use another id, or get a handle of that run with get("${run.workflowId}").`,
      { details: { id: run.workflowId, runId: run.runId, workflow: run.name } },
    );
  }

  async #sameInput(run: RunRecord, start: PreparedStart): Promise<boolean> {
    if (run.inputHash !== "" && start.run.inputHash !== "") return run.inputHash === start.run.inputHash;
    const { store, codec } = this.#options;
    const [line] = await store.loadHistory({ key: run.key, fromSeq: 1, limit: 1 });
    const [box] = line === undefined ? await store.loadInboxes([{ key: run.key, above: 0 }]) : [];
    const payload = line?.payload ?? box?.find((item) => item.kind === "start")?.payload;
    if (payload === undefined || payload === null) return true;
    return inputHash(await codec.open(payload, { workflowId: run.workflowId, field: payloadFields.input })) === inputHash(start.text);
  }

  // Messages. ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #sealEnvelope(envelope: Envelope, workflowId: string): Promise<Sealed> {
    if ((envelope as Partial<Envelope> | undefined)?.kind !== "envelope")
      throw new PerdureError("invalid_argument", "The option send of a start takes messages made by message.of(value).");
    return this.#sealMessage(envelope.message, envelope.value, workflowId);
  }

  async #sealMessage(message: Message<any, any>, raw: unknown, workflowId: string): Promise<Sealed> {
    const value = await parseInput(message.input, raw, `The value of message "${message.name}"`);
    const text = this.#options.codec.encode(value, `the value of message "${message.name}"`);
    const payload = await this.#seal(text, workflowId, payloadFields.message(message.name));
    return { item: { kind: "message", name: message.name, command: null, attempt: null, payload, options: null }, text };
  }

  async #deliver(target: RunTarget, id: string, item: InboxItem, dedupeKey: string): Promise<void> {
    const { commits, worker } = this.#options;
    let unknown = false;
    let claimFor: SendOperation["claimFor"] = null;
    const outcome = await this.#persist(async () => {
      claimFor = worker?.claimFor() ?? null;
      const operation: SendOperation = { type: "send", target, item, dedupeKey, claimFor };
      try {
        return await commits.submit(operation);
      } catch (error) {
        if (isUnknownOutcome(error)) unknown = true;
        throw error;
      }
    });
    switch (outcome.status) {
      case "sent":
        if (outcome.claimed !== null) worker?.takeUp(outcome.claimed, (claimFor as SendOperation["claimFor"])?.worker ?? 0);
        else if (outcome.owner !== null && outcome.owner === worker?.worker) worker.notice(outcome.key, outcome.position);
        return;
      case "duplicate":
        return;
      case "not_found":
      case "not_running":
        if (unknown) {
          throw new PerdureError(
            "outcome_unknown",
            `It is not known whether run "${id}" took what was sent: the store gave no answer at first, and now the run is not there to take it.`,
            { details: { id } },
          );
        }
        if (outcome.status === "not_found") throw notFound(id);
        throw new PerdureError("not_running", `Run "${id}" has ended, so it takes nothing any more.`, { details: { id } });
      default:
        outcome satisfies never;
    }
  }

  // Reads. ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #find(target: RunTarget, id: string): Promise<RunOutcome> {
    this.#checkOpen();
    const [found] = await this.#persist(() => this.#options.store.findRuns([target]));
    if (found === null || found === undefined) throw notFound(id);
    return found;
  }

  async #readHistory(run: RunRecord): Promise<HistoryEvent[]> {
    const { store, codec } = this.#options;
    const records: HistoryRecord[] = [];
    for (;;) {
      const page = await this.#persist(() => store.loadHistory({ key: run.key, fromSeq: records.length + 1, limit: historyPage }));
      records.push(...page);
      const last = page.at(-1);
      if (page.length < historyPage || last === undefined || isTerminal(readEnvelope(last.event))) break;
    }
    return readHistory(codec, run.workflowId, records);
  }

  async #cancelUnread(run: RunRecord): Promise<boolean> {
    const [box] = await this.#persist(() => this.#options.store.loadInboxes([{ key: run.key, above: 0 }]));
    return box?.some((item) => item.kind === "cancel") === true;
  }

  async #seal(text: string, workflowId: string, field: string): Promise<Payload> {
    const { codec } = this.#options;
    return codec.sync ? text : codec.seal(text, { workflowId, field });
  }

  async #persist<T>(call: () => Promise<T>): Promise<T> {
    const result = await persist({
      runtime: this.runtime,
      call: async () => ({ value: await call() }),
      stopped: () => this.#closed,
      onTrouble: (error) => this.#options.logger.warn("The store is out of reach; trying again.", { error }),
    });
    if (result === undefined) throw closedError();
    return result.value;
  }

  #checkOpen(): void {
    if (this.#closed) throw closedError();
  }
}

const closedError = (): PerdureError => new PerdureError("closed", "The engine or client was closed. Launch or connect again.");
const notFound = (id: string): PerdureError =>
  new PerdureError("not_found", `There is no run "${id}". Check the id, and that this store is the one it was started in.`, {
    details: { id },
  });
