/**
 * What a run leaves to be done for it: durable, because it is a task that is committed together with what it follows from, and done by whichever worker takes it.
 * Errands may be done more than once; each of their parts can be.
 */
import type { Store } from "../backend/backend.js";
import type { ClaimedTask, InboxItem, RunOutcome, RunRecord } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { readEnvelope } from "../core/events.js";
import { CancelledError, isPerdureError } from "../errors.js";
import type { Errand } from "./errand-tasks.js";
import type { GroupCommit } from "./group-commit.js";
import type { Outgoing } from "./outgoing.js";
import { fieldOfEvent, payloadFields } from "./payload-fields.js";
import { endError } from "./run-end.js";
import { readRunOptions, type ParentLink } from "./run-options.js";
import { terminationOf } from "./termination.js";

export interface ErrandsOptions {
  readonly store: Store;
  readonly codec: Codec;
  readonly commits: GroupCommit;
  readonly outgoing: Outgoing;
}

const childrenPage = 200;

export class Errands {
  readonly #options: ErrandsOptions;

  constructor(options: ErrandsOptions) {
    this.#options = options;
  }

  async run(task: ClaimedTask): Promise<void> {
    const errand = JSON.parse(task.options) as Errand;
    switch (errand.kind) {
      case "run_ended":
        return this.#runEnded(task);
      case "cancel_child":
        return this.#cancelChild(errand.id, errand.runId, "The workflow that started it does not need it any more.");
      default:
        errand satisfies never;
    }
  }

  async #runEnded({ runId }: ClaimedTask): Promise<void> {
    const [found] = await this.#options.store.findRuns([{ runId }]);
    if (found === null || found === undefined) return;
    const { parent } = readRunOptions(found.run.options);
    // A chain tells its parent when its last run has ended.
    if (parent !== undefined && found.run.status !== "continued") await this.#tellParent(parent, found);
    await this.#closeChildren(runId);
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
