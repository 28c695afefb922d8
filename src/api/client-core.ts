/** What clients and engines share: the calls of the public API, translated into operations of the store. */
import type { Store } from "../backend/backend.js";
import type { Outcome, StartOperation } from "../backend/operations.js";
import type { InboxItem, Payload, RunRecord, RunTarget } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { inputHash } from "../codec/input-hash.js";
import { writeAttributes } from "../core/attributes.js";
import { checkKind } from "../core/check-options.js";
import { parseDuration } from "../core/duration.js";
import { checkName } from "../core/names.js";
import { checkStoredRetry } from "../core/retry.js";
import { parseInput } from "../core/schema.js";
import { isPerdureError, PerdureError } from "../errors.js";
import type { Runtime } from "../platform/runtime.js";
import { readToken } from "../worker/activity-token.js";
import type { GroupCommit } from "../worker/group-commit.js";
import { around } from "../worker/interceptors.js";
import { newRunOf } from "../worker/new-run.js";
import { Outgoing } from "../worker/outgoing.js";
import { payloadFields } from "../worker/payload-fields.js";
import { isUnknownOutcome, persist } from "../worker/persist.js";
import { Post, type PreparedStart, type SealedItem } from "../worker/post.js";
import { notFound, notRunning } from "../worker/refusals.js";
import { terminationOf } from "../worker/termination.js";
import type { Worker } from "../worker/worker.js";
import type { Handle, SendOptions, StartOptions } from "./client-types.js";
import type { Logger } from "./context-types.js";
import type { AnyWorkflow, BoundTransaction, Envelope, Message, Update, WorkflowRef } from "./definition-types.js";
import { checkOptions } from "./define-checks.js";
import type { Interceptor } from "./interceptor-types.js";
import type { EndTarget, ResultWaiters, RunEnd } from "./result-waiters.js";
import { RunHandleImpl } from "./run-handle.js";
import { RunReads } from "./run-reads.js";
import { RunViews } from "./run-views.js";
import type { Watchers } from "./watchers.js";

export interface ClientCoreOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly codec: Codec;
  readonly commits: GroupCommit;
  readonly waiters: ResultWaiters;
  readonly watchers: Watchers;
  readonly logger: Logger;
  readonly interceptors: readonly Interceptor[];
  /** The worker of this process, if it has one. */
  readonly worker: Worker | undefined;
}

const startOptions = ["id", "timeout", "delay", "send", "onExisting", "reuse", "retry", "queue", "attributes", "transaction"];

export class ClientCore {
  readonly runtime: Runtime;
  readonly reads: RunReads;
  readonly views: RunViews;
  readonly #options: ClientCoreOptions;
  readonly #post: Post;
  readonly #outgoing: Outgoing;
  #closed = false;

  constructor(options: ClientCoreOptions) {
    this.#options = options;
    this.runtime = options.runtime;
    const { store, codec, commits, worker, watchers } = options;
    const parts = { store, codec, persist: <T>(call: () => Promise<T>) => this.#read(call), checkOpen: () => this.#checkOpen() };
    this.#post = new Post({ commits, worker, persist: (call) => this.#persist(call) });
    this.#outgoing = new Outgoing({ post: this.#post, codec, now: () => store.now() });
    this.reads = new RunReads(parts);
    this.views = new RunViews({ ...parts, watchers });
  }

  close(): void {
    this.#closed = true;
    this.#options.waiters.close(closedError());
    this.#options.watchers.close();
  }

  async start<R>(def: WorkflowRef<any, R>, input: unknown, options: StartOptions = {}): Promise<Handle<R>> {
    this.#checkOpen();
    checkKind(def, "workflow", "start", "made by workflow(…) or workflowRef(…)");
    const what = `start of workflow "${def.name}"`;
    checkOptions(options, what, startOptions);
    checkPolicies(options, what);
    const definition = def as Partial<AnyWorkflow>;
    const parsed = parseInput(definition.input, input, `The input of workflow "${def.name}"`);
    const value = parsed instanceof Promise ? ((await parsed) as unknown) : parsed;
    const workflowId = options.id ?? definition.options?.id?.(value) ?? this.runtime.uuid();
    checkName(workflowId, "the id of a run");
    const hooks = this.#options.interceptors.flatMap(({ start }) => start ?? []);
    if (hooks.length === 0) return this.#start(def, value, workflowId, options, undefined);
    let handle: Handle<R> | undefined;
    const call = { workflow: def.name, id: workflowId, input: value, headers: {} as Record<string, string> };
    await around<typeof call, void>(hooks, call, async () => {
      handle = await this.#start(def, value, workflowId, options, call.headers);
    });
    if (handle === undefined) throw new PerdureError("cancelled", `An interceptor did not let the ${what} through.`);
    return handle;
  }

  handle<R>(id: string): Handle<R> {
    checkName(id, "the id of a run");
    return new RunHandleImpl<R>(this, id, { workflowId: id });
  }

  runHandle<R>(runId: string): Handle<R> {
    checkName(runId, "the id of a run");
    return new RunHandleImpl<R>(this, runId, { runId });
  }

  waitForEnd(target: EndTarget): { readonly end: Promise<RunEnd>; readonly stop: () => void } {
    if (this.#closed) return { end: Promise.reject(closedError()), stop: () => undefined };
    return this.#options.waiters.wait(target, "runId" in target && this.#options.worker?.drives(target.runId) === true);
  }

  /** The result, or the error, of an ended run. */
  openEnd(end: RunEnd): Promise<unknown> {
    return this.reads.openEnd(end);
  }

  async send(target: RunTarget, id: string, message: Message<any, any>, value: unknown, options: SendOptions = {}): Promise<void> {
    this.#checkOpen();
    checkKind(message, "message", "send", "made by message(…)");
    checkOptions(options, `send of message "${message.name}"`, ["key"]);
    if (options.key !== undefined) checkName(options.key, "the key of a message");
    const hooks = this.#options.interceptors.flatMap(({ send }) => send ?? []);
    await around(hooks, { name: message.name, id, value }, async () => {
      const workflowId = await this.reads.workflowIdOf(target, id);
      const { item } = await this.#sealMessage(message, value, workflowId);
      const key = options.key === undefined ? `send/${this.runtime.uuid()}` : `key/${options.key}`;
      await this.#outgoing.deliver(target, id, item, key);
    });
  }

  async cancel(target: RunTarget, id: string, reason: string | undefined): Promise<void> {
    this.#checkOpen();
    if (reason !== undefined && typeof reason !== "string")
      throw new PerdureError("invalid_argument", "The reason of a cancel must be a string.");
    const item = await this.#outgoing.cancelItem(await this.reads.workflowIdOf(target, id), reason);
    await this.#outgoing.deliver(target, id, item, `cancel/${this.runtime.uuid()}`);
  }

  async update<T>(target: RunTarget, id: string, def: Update<any, T, any>, value: unknown, options: SendOptions = {}): Promise<T> {
    this.#checkOpen();
    checkKind(def, "update", "update", "made by update(…)");
    checkOptions(options, `update "${def.name}"`, ["key"]);
    if (options.key !== undefined) checkName(options.key, "the key of an update");
    const hooks = this.#options.interceptors.flatMap((one) => one.update ?? []);
    return around<{ name: string; id: string; value: unknown }, unknown>(hooks, { name: def.name, id, value }, () =>
      this.#update(target, id, def, value, options.key ?? this.runtime.uuid()),
    ) as Promise<T>;
  }

  async #update(named: RunTarget, id: string, def: Update<any, any, any>, raw: unknown, updateId: string): Promise<unknown> {
    const { codec } = this.#options;
    const target = await this.reads.chainOf(named, id);
    const workflowId = await this.reads.workflowIdOf(target, id);
    const value = await parseInput(def.input, raw, `The value of update "${def.name}"`);
    const text = codec.encode(value, `the value of update "${def.name}"`);
    const payload = await this.#seal(text, workflowId, payloadFields.update(def.name));
    const options = JSON.stringify({ id: updateId });
    const item: InboxItem = { kind: "update", name: def.name, command: null, attempt: null, payload, options };
    try {
      await this.#outgoing.deliver(target, id, item, `update/${updateId}`);
    } catch (error) {
      // Of a run that has ended, an answer that was given before is given again.
      if (!isPerdureError(error, "not_running") && !isPerdureError(error, "outcome_unknown")) throw error;
    }
    const answer = await this.views.answer(target, workflowId, updateId);
    if (answer === undefined) {
      throw new PerdureError("not_running", `Run "${id}" has ended without answering the update "${def.name}".`, { details: { id } });
    }
    if (answer.status === "completed") return codec.decode(answer.text);
    throw codec.decodeError(answer.text);
  }

  async terminate(target: RunTarget, id: string, reason: string | undefined): Promise<void> {
    this.#checkOpen();
    if (reason !== undefined && typeof reason !== "string")
      throw new PerdureError("invalid_argument", "The reason of terminate must be a string.");
    const termination = await terminationOf(this.#options.codec, await this.reads.workflowIdOf(target, id), reason);
    let unknown = false;
    const outcome = await this.#persist(async () => {
      try {
        return await this.#options.commits.submit({ type: "terminate", target, termination });
      } catch (error) {
        if (isUnknownOutcome(error)) unknown = true;
        throw error;
      }
    });
    // An earlier attempt without an answer may have been it.
    if (outcome.status === "terminated") return this.#options.worker?.drop(outcome.key);
    if (unknown) return;
    if (outcome.status === "not_found") throw notFound(id);
    throw notRunning(id);
  }

  async resume(target: RunTarget, id: string): Promise<void> {
    this.#checkOpen();
    const outcome = await this.#persist(() => this.#options.commits.submit({ type: "resume", target }));
    if (outcome.status === "not_found") throw notFound(id);
    this.#options.worker?.onRunsDue();
  }

  /** Finishes an activity that was left to somebody outside. */
  async finishActivity(token: string, outcome: { readonly result: unknown } | { readonly error: Error }): Promise<void> {
    this.#checkOpen();
    const { workflowId, ...task } = readToken(token);
    const { codec } = this.#options;
    const text = "result" in outcome ? codec.encode(outcome.result, "the result of the activity") : codec.encodeError(outcome.error);
    const payload = await this.#seal(text, workflowId, payloadFields.operation(task.command));
    const { finished, unknown } = await this.#post.finish(task, "result" in outcome ? "activity_completed" : "activity_failed", payload);
    if (finished) return;
    if (unknown) {
      throw new PerdureError(
        "outcome_unknown",
        "It is not known whether this finished the activity: the store gave no answer at first, and now the activity does not wait any more.",
      );
    }
    throw new PerdureError(
      "not_found",
      "The activity of this token does not wait any more: it was finished, timed out or cancelled, tried again, or its run has ended.",
    );
  }

  // Starts. ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #start<R>(
    def: WorkflowRef<any, R>,
    input: unknown,
    workflowId: string,
    options: StartOptions,
    headers: Record<string, string> | undefined,
  ): Promise<Handle<R>> {
    const prepared = await this.#prepare(def, input, workflowId, options, headers);
    const { runId } = prepared.run;
    const outcome =
      options.transaction === undefined ? await this.#post.start(prepared) : await this.#startWithin(prepared, options.transaction);
    const handle = (run: string): Handle<R> => new RunHandleImpl<R>(this, workflowId, { chainOf: run });
    if (outcome.status === "started" || outcome.run.runId === runId) return handle(runId);
    if (options.onExisting === "fail") {
      throw new PerdureError(
        "already_exists",
        `There is a run "${workflowId}" already. Use another id, or leave out onExisting to get a handle of it.`,
        {
          details: { id: workflowId, runId: outcome.run.runId },
        },
      );
    }
    await this.#checkSame(outcome.run, prepared);
    return handle(outcome.run.runId);
  }

  async #prepare(
    def: WorkflowRef<any, any>,
    input: unknown,
    workflowId: string,
    options: StartOptions,
    headers: Record<string, string> | undefined,
  ): Promise<PreparedStart> {
    const { codec, store } = this.#options;
    const definition = def as WorkflowRef<any, any> & Partial<AnyWorkflow>;
    const inputText = codec.encode(input, `the input of workflow "${def.name}"`);
    const timeout = options.timeout ?? definition.options?.timeout;
    const timeoutMs = timeout === undefined ? undefined : parseDuration(timeout, `the timeout of workflow "${def.name}"`);
    const dueAt = this.#dueAt(options.delay);
    const messages: SealedItem[] = [];
    for (const envelope of options.send ?? []) messages.push(await this.#sealEnvelope(envelope, workflowId));
    const run = newRunOf({
      definition,
      workflowId,
      runId: this.runtime.uuid(),
      visibleText: codec.sync ? inputText : null,
      // From when it begins: a run that waits for its time has not taken any yet.
      deadlineAt: timeoutMs === undefined ? null : Math.max(store.now(), dueAt ?? 0) + timeoutMs,
      options: {
        retry: options.retry,
        timeoutMs,
        queue: (options.queue ?? definition.options?.queue)?.name,
        headers: headers === undefined || Object.keys(headers).length === 0 ? undefined : headers,
      },
    });
    return {
      run,
      inputText,
      input: codec.sync ? inputText : await this.#seal(inputText, workflowId, payloadFields.input),
      messages,
      dueAt,
      reuse: options.reuse === "after-failure" ? "after_failure" : (options.reuse ?? "never"),
      terminates:
        options.onExisting === "terminate" ? await terminationOf(codec, workflowId, "Another run was started in its place.") : null,
      attributes: options.attributes === undefined ? none : writeAttributes(options.attributes, `the attributes of workflow "${def.name}"`),
    };
  }

  /** As part of a transaction of the application's: nothing is tried again, and it begins when that commits. */
  async #startWithin(start: PreparedStart, transaction: BoundTransaction): Promise<Outcome<StartOperation>> {
    const { inputText: _, messages, ...rest } = start;
    const [outcome] = await this.#options.store.applyWithin(transaction.connection, [
      { type: "start", ...rest, messages: messages.map(({ item }) => item), eager: null },
    ]);
    if (outcome.status === "started") transaction.onCommitted(() => this.#options.worker?.onRunsDue());
    return outcome;
  }

  #dueAt(delay: StartOptions["delay"]): number | null {
    if (delay === undefined) return null;
    if (!(delay instanceof Date)) return this.#options.store.now() + parseDuration(delay, "the delay of a start");
    const time = delay.getTime();
    if (Number.isNaN(time)) throw new PerdureError("invalid_argument", "The delay of a start is an invalid Date.");
    return time;
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
    const stored = await this.reads.inputText(run);
    return stored === undefined || inputHash(stored) === inputHash(start.inputText);
  }

  // Messages. ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #sealEnvelope(envelope: Envelope, workflowId: string): Promise<SealedItem> {
    checkKind(envelope, "envelope", "The option send of a start", "made by message.of(value)");
    return this.#sealMessage(envelope.message, envelope.value, workflowId);
  }

  async #sealMessage(message: Message<any, any>, raw: unknown, workflowId: string): Promise<SealedItem> {
    const value = await parseInput(message.input, raw, `The value of message "${message.name}"`);
    const text = this.#options.codec.encode(value, `the value of message "${message.name}"`);
    const payload = await this.#seal(text, workflowId, payloadFields.message(message.name));
    return { item: { kind: "message", name: message.name, command: null, attempt: null, payload, options: null }, text };
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

  /** Stores within the process answer without a turn of the event loop, and code that asks in a loop would never let the engine have one. */
  async #read<T>(call: () => Promise<T>): Promise<T> {
    const result = await this.#persist(call);
    await new Promise<void>((resolve) => this.runtime.yieldToLoop(resolve));
    return result;
  }

  #checkOpen(): void {
    if (this.#closed) throw closedError();
  }
}

const none: readonly never[] = [];

function checkPolicies({ onExisting, reuse, retry, queue, transaction }: StartOptions, what: string): void {
  if (onExisting !== undefined && onExisting !== "use" && onExisting !== "fail" && onExisting !== "terminate")
    throw new PerdureError(
      "invalid_argument",
      `The option onExisting of ${what} is ${JSON.stringify(onExisting)}. Give "use", "fail" or "terminate".`,
    );
  if (reuse !== undefined && reuse !== "never" && reuse !== "after-failure" && reuse !== "always")
    throw new PerdureError(
      "invalid_argument",
      `The option reuse of ${what} is ${JSON.stringify(reuse)}. Give "never", "after-failure" or "always".`,
    );
  if (retry !== undefined) checkStoredRetry(retry, what);
  if (queue !== undefined) checkKind(queue, "queue", `The option queue of ${what}`, "made by queue(…)");
  if (transaction !== undefined)
    checkKind(transaction, "transaction", `The option transaction of ${what}`, "made by use(…) of a source of transactions");
}

const closedError = (): PerdureError => new PerdureError("closed", "The engine or client was closed. Launch or connect again.");
