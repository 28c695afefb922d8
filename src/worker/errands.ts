/**
 * What a run leaves to be done for it: durable, because it is a task that is committed together with what it follows from, and done by whichever worker takes it.
 * Errands may be done more than once; each of their parts can be.
 */
import type { Store } from "../backend/backend.js";
import { noEffects } from "../backend/no-effects.js";
import type { Effects, StartOperation } from "../backend/operations.js";
import type { ClaimedTask, InboxItem, RunKey, RunOutcome, RunRecord, WorkerKey } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { isTerminal, readEnvelope, writeEnvelope } from "../core/events.js";
import { CancelledError, isPerdureError } from "../errors.js";
import type { Errand } from "./errand-tasks.js";
import type { GroupCommit } from "./group-commit.js";
import { newRunOf } from "./new-run.js";
import { childRunId, type Outgoing } from "./outgoing.js";
import { fieldOfEvent, payloadFields } from "./payload-fields.js";
import { endError } from "./run-end.js";
import { readRunOptions, type ParentLink } from "./run-options.js";
import { terminationOf } from "./termination.js";

export interface ErrandsOptions {
  readonly store: Store;
  readonly codec: Codec;
  readonly commits: GroupCommit;
  readonly outgoing: Outgoing;
  /** The key of this process's lease. */
  readonly worker: () => WorkerKey;
}

const childrenPage = 200;
const historyPage = 1000;

export class Errands {
  readonly #options: ErrandsOptions;

  constructor(options: ErrandsOptions) {
    this.#options = options;
  }

  async run(task: ClaimedTask): Promise<void> {
    const errand = JSON.parse(task.options) as Errand;
    switch (errand.kind) {
      case "run_ended":
        return this.#runEnded(task, errand.childless !== true);
      case "cancel_child":
        return this.#withdrawChild(task, errand.id, errand.name);
      default:
        errand satisfies never;
    }
  }

  async #runEnded({ runId }: ClaimedTask, mayHaveChildren: boolean): Promise<void> {
    const [found] = await this.#options.store.findRuns([{ runId }]);
    if (found === null || found === undefined) return;
    const { parent } = readRunOptions(found.run.options);
    // A chain tells its parent when its last run has ended.
    if (parent !== undefined && found.run.status !== "continued") await this.#tellParent(parent, found);
    if (!mayHaveChildren) return;
    // Before the others are looked for, so that none is started in between.
    for (const { number, name } of await this.#unstarted(found.run.key)) await this.#preempt(found.run, number, name);
    await this.#closeChildren(runId);
  }

  /** The children of which the run did not record that they are stored. A start may still be under way, from a process that does not know yet. */
  async #unstarted(key: RunKey): Promise<readonly { readonly number: number; readonly name: string }[]> {
    const unstarted = new Map<number, { readonly number: number; readonly name: string }>();
    let count = 0;
    for (let fromSeq = 1, more = true; more; fromSeq += historyPage) {
      const lines = await this.#options.store.loadHistory({ key, fromSeq, limit: historyPage });
      for (const { event } of lines) {
        const envelope = readEnvelope(event);
        if ("command" in envelope) unstarted.delete(envelope.command);
        if (isTerminal(envelope)) continue;
        for (const [kind, name] of envelope.commands) {
          count++;
          if (kind === "child") unstarted.set(count, { number: count, name });
        }
      }
      more = lines.length === historyPage;
    }
    return [...unstarted.values()];
  }

  /** Takes the place of a child that is not there, ended, so that a start which is still under way finds it. False: it is there after all. */
  async #preempt(parent: { readonly workflowId: string; readonly runId: string }, command: number, name: string): Promise<boolean> {
    const { store, commits, codec, worker } = this.#options;
    const runId = childRunId(parent, command);
    const link: ParentLink = { id: parent.workflowId, runId: parent.runId, command, onClose: "cancel" };
    const run = newRunOf({
      definition: { name },
      workflowId: runId,
      runId,
      visibleText: null,
      deadlineAt: null,
      options: { parent: link },
    });
    const error = codec.encodeError(new CancelledError("The workflow that was starting it did not need it any more."));
    const payload = await codec.seal(error, { workflowId: runId, field: payloadFields.error });
    const event = writeEnvelope({ kind: "run_cancelled" });
    const effects: Effects = {
      ...noEffects,
      events: [{ seq: 1, at: store.now(), event, payload }],
      inboxSeen: 0,
      next: { state: "ended", status: "cancelled" },
    };
    const { status } = await commits.submit<StartOperation>({
      type: "start",
      run,
      input: "",
      messages: [],
      dueAt: null,
      reuse: "never",
      terminates: null,
      attributes: [],
      eager: { worker: worker(), effects },
    });
    return status === "started";
  }

  async #tellParent(parent: ParentLink, { run, last }: RunOutcome): Promise<void> {
    const { codec, outgoing } = this.#options;
    if (last === null) return;
    const context = { workflowId: run.workflowId, field: fieldOfEvent(readEnvelope(last.event)) };
    const text = last.payload === null ? null : await codec.open(last.payload, context);
    const completed = run.status === "completed";
    const outcome = completed
      ? (text ?? codec.encode(undefined, "the result"))
      : codec.encodeError(endError(run.status, run.workflowId, text === null ? undefined : codec.decodeError(text)));
    // Bound to the place where it will be read: a payload is not copied from one run to another.
    const payload = await codec.seal(outcome, { workflowId: parent.id, field: payloadFields.operation(parent.command) });
    const item: InboxItem = {
      kind: completed ? "activity_completed" : "activity_failed",
      name: "",
      command: parent.command,
      attempt: 1,
      payload,
      options: null,
    };
    await ignoreGone(outgoing.deliver({ runId: parent.runId }, parent.id, item, `child/${parent.runId}/${parent.command}`));
  }

  async #closeChildren(parentRunId: string): Promise<void> {
    const { store } = this.#options;
    for (let before: number | undefined, more = true; more;) {
      const page = await store.listRuns({ parentRunId, before, limit: childrenPage });
      for (const child of page) await this.#closeChild(child);
      more = page.length === childrenPage;
      before = page.at(-1)?.key;
    }
  }

  async #closeChild({ workflowId, runId, status, options }: RunRecord): Promise<void> {
    if (status !== "running" && status !== "parked") return;
    const onClose = readRunOptions(options).parent?.onClose ?? "cancel";
    if (onClose === "cancel") return this.#cancelChild(workflowId, runId, "The workflow that started it has ended.");
    if (onClose === "abandon") return;
    const { commits, codec } = this.#options;
    const termination = await terminationOf(codec, workflowId, "The workflow that started it has ended.");
    await commits.submit({ type: "terminate", target: { chainOf: runId }, termination });
  }

  async #withdrawChild(parent: ClaimedTask, id: string, name: string): Promise<void> {
    const runId = childRunId(parent, parent.command);
    const [child] = await this.#options.store.findRuns([{ runId }]);
    if (child === null && (await this.#preempt(parent, parent.command, name))) return;
    await this.#cancelChild(id, runId, "The workflow that started it does not need it any more.");
  }

  async #cancelChild(id: string, runId: string, reason: string): Promise<void> {
    const { outgoing } = this.#options;
    await ignoreGone(outgoing.deliver({ chainOf: runId }, id, await outgoing.cancelItem(id, reason), `parent/${runId}`));
  }
}

/** Whoever has ended, or never began, needs to be told nothing. */
async function ignoreGone(sent: Promise<void>): Promise<void> {
  try {
    await sent;
  } catch (error) {
    const isGone = isPerdureError(error, "not_found") || isPerdureError(error, "not_running") || isPerdureError(error, "outcome_unknown");
    if (!isGone && !(error instanceof CancelledError)) throw error;
  }
}
