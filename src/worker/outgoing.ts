/**
 * What workflow code does to other runs, once its turn is committed: starts children, sends, cancels. Each can be repeated by whoever drives the run after a
 * crash: a child's run id and a message's key follow from the run and its command.
 */
import type { AnyWorkflow, Message } from "../api/definition-types.js";
import type { InboxItem, Payload, RunTarget } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { writeAttributes } from "../core/attributes.js";
import type { CancelRunCommand, ChildCommand, SendCommand } from "../core/commands.js";
import { parseDuration } from "../core/duration.js";
import type { RunFacts } from "../core/machine-options.js";
import { parseInput } from "../core/schema.js";
import { PerdureError } from "../errors.js";
import { newRunOf } from "./new-run.js";
import { payloadFields } from "./payload-fields.js";
import type { Post } from "./post.js";
import { notFound, notRunning } from "./refusals.js";
import { deadlineOf, type ParentLink, type RunOptions } from "./run-options.js";

export interface OutgoingOptions {
  readonly post: Post;
  readonly codec: Codec;
  /** The store's clock. */
  readonly now: () => number;
}

/** The run id of a child follows from its parent, so that a start that is repeated finds itself. */
export const childRunId = (facts: Pick<RunFacts, "runId">, command: number): string => `${facts.runId}/${command}`;

export class Outgoing {
  readonly #options: OutgoingOptions;

  constructor(options: OutgoingOptions) {
    this.#options = options;
  }

  /** @throws PerdureError `id_conflict` · `invalid_input` */
  async startChild(facts: RunFacts, command: ChildCommand): Promise<void> {
    const { post, codec } = this.#options;
    const { definition, id, options, number } = command;
    const code = definition as Partial<AnyWorkflow>;
    const inputText = await this.#parsed(code.input, command.input, `The input of child workflow "${command.name}"`);
    const runId = childRunId(facts, number);
    const parent: ParentLink = { id: facts.id, runId: facts.runId, command: number, onClose: options.onParentClose ?? "cancel" };
    const timeout = options.timeout ?? code.options?.timeout;
    const timeoutMs = timeout === undefined ? undefined : parseDuration(timeout, `the timeout of child workflow "${command.name}"`);
    const runOptions: RunOptions = {
      parent,
      retry: options.retry,
      timeoutMs,
      latestAt: options.deadline === "detached" ? undefined : (facts.deadlineAt ?? undefined),
      queue: (options.queue ?? code.options?.queue)?.name,
      headers: command.headers,
    };
    const run = newRunOf({
      definition: { ...definition, ...code },
      workflowId: id,
      runId,
      visibleText: codec.sync ? inputText : null,
      deadlineAt: deadlineOf(runOptions, this.#options.now()),
      options: runOptions,
    });
    const input = await this.#seal(inputText, id, payloadFields.input);
    const attributes = writeAttributes(options.attributes ?? {}, "the attributes of a child");
    const outcome = await post.start({ run, inputText, input, messages: [], dueAt: null, reuse: "never", terminates: null, attributes });
    if (outcome.status === "exists" && outcome.run.runId !== runId) {
      throw new PerdureError(
        "id_conflict",
        `The child workflow "${command.name}" cannot start: there is a run "${id}" already, of workflow "${outcome.run.name}". Give the child another id.`,
        { details: { id, runId: outcome.run.runId } },
      );
    }
  }

  /** @throws PerdureError `not_found` · `not_running` · `invalid_input` */
  async send(facts: RunFacts, command: SendCommand): Promise<void> {
    const { target, message, value, key, number } = command;
    const text = await this.#parsed(message.input, value, `The value of message "${message.name}"`);
    const payload = await this.#seal(text, target, payloadFields.message(message.name));
    const item: InboxItem = { kind: "message", name: message.name, command: null, attempt: null, payload, options: null };
    await this.deliver({ workflowId: target }, target, item, key === null ? `from/${facts.runId}/${number}` : `key/${key}`);
  }

  async cancel(facts: RunFacts, command: CancelRunCommand): Promise<void> {
    const item = await this.cancelItem(command.name, command.reason);
    await this.deliver({ workflowId: command.name }, command.name, item, `from/${facts.runId}/${command.number}`);
  }

  async cancelItem(workflowId: string, reason: string | undefined): Promise<InboxItem> {
    const text = this.#options.codec.encode(reason, "the reason of the cancel");
    const payload = await this.#seal(text, workflowId, payloadFields.cancel);
    return { kind: "cancel", name: "", command: null, attempt: null, payload, options: null };
  }

  /** @throws PerdureError `not_found` · `not_running` · `outcome_unknown` */
  async deliver(target: RunTarget, id: string, item: InboxItem, dedupeKey: string): Promise<void> {
    const { status, unknown } = await this.#options.post.send(target, item, dedupeKey);
    if (status === "sent" || status === "duplicate") return;
    if (unknown) {
      throw new PerdureError(
        "outcome_unknown",
        `It is not known whether run "${id}" took what was sent: the store gave no answer at first, and now the run is not there to take it.`,
        { details: { id } },
      );
    }
    throw status === "not_found" ? notFound(id) : notRunning(id);
  }

  /** Runs a schema where the value enters: its output is what is stored. Without one the text stays as it was encoded at the call. */
  async #parsed(schema: Message<any, any>["input"], text: string, what: string): Promise<string> {
    if (schema === undefined) return text;
    const { codec } = this.#options;
    return codec.encode(await parseInput(schema, codec.decode(text), what), what);
  }

  async #seal(text: string, workflowId: string, field: string): Promise<Payload> {
    const { codec } = this.#options;
    return codec.sync ? text : codec.seal(text, { workflowId, field });
  }
}
