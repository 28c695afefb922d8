/** What chains of runs accepted, and what became of it. */
import type { FinalOptions } from "./final-checks.js";
import type { ChainModel, RunModel } from "./models.js";
import { readAnswer } from "../../worker/update-answer.js";
import type { Accepted } from "./witness.js";
import { textOf } from "./record-texts.js";

/** How many events a commit that was under way may have held. */
const linesInFlight = 6;

interface Delivery {
  readonly run: RunModel;
  readonly kind: string;
}

export function checkChain(options: FinalOptions, chain: ChainModel): void {
  checkLinks(options, chain);
  const accepted = options.witness.accepted.filter((item) => item.chain === chain.key);
  const delivered = deliveriesOf(options, chain);
  checkInbox(options, chain, accepted, delivered);
  checkCancels(options, chain, accepted, delivered);
  checkUpdates(options, chain, accepted, delivered);
}

/** One run after the other, and each but the last says which one goes on. */
function checkLinks({ witness }: FinalOptions, chain: ChainModel): void {
  for (const [index, run] of chain.runs.entries()) {
    const last = run.envelopes.at(-1);
    const next = chain.runs[index + 1];
    const named = last?.kind === "run_continued" ? last.runId : undefined;
    if (named !== next?.runId) witness.violate("I20", `run ${run.key} says that ${named} goes on, and it is ${next?.runId}`);
  }
}

/** Which event took what was at a position, all runs of the chain together. */
function deliveriesOf({ witness }: FinalOptions, { key, runs }: ChainModel): ReadonlyMap<number, Delivery> {
  const delivered = new Map<number, Delivery>();
  const lastByName = new Map<string, number>();
  for (const run of runs) {
    for (const envelope of run.envelopes) {
      if (envelope.kind !== "message_received" && envelope.kind !== "cancel_requested" && envelope.kind !== "update_accepted") continue;
      const { kind, position } = envelope;
      if (delivered.has(position)) witness.violate("I6", `run ${run.key}: the item at ${position} was delivered twice`);
      delivered.set(position, { run, kind });
      if (kind === "cancel_requested") continue;
      const name = `${kind} ${envelope.name}`;
      if ((lastByName.get(name) ?? 0) > position)
        witness.violate("I7", `chain ${key}: ${envelope.name} at ${position} was taken after a later one`);
      lastByName.set(name, position);
    }
  }
  return delivered;
}

/** Every accepted message was taken once, by the event that names its place, or is still there. */
function checkInbox(
  { state, witness }: FinalOptions,
  chain: ChainModel,
  accepted: readonly Accepted[],
  delivered: ReadonlyMap<number, Delivery>,
): void {
  const unread = new Set((state.inboxes.get(chain.key)?.rows ?? []).filter((item) => !item.consumed).map(({ position }) => position));
  const keys = new Set<string>();
  for (const { position, kind, payload, dedupeKey } of accepted) {
    const where = Number(delivered.has(position)) + Number(unread.has(position));
    if (kind === "message" && where !== 1) witness.violate("I6", `chain ${chain.key}: ${payload} at ${position} is in ${where} places`);
    if (dedupeKey === null) continue;
    if (keys.has(dedupeKey)) witness.violate("I7", `chain ${chain.key}: dedupe key ${dedupeKey} was accepted twice`);
    keys.add(dedupeKey);
  }
}

/** A run that was told to stop is the last of its chain, and one that was not told cannot go on for long. */
function checkCancels(
  { witness, tally }: FinalOptions,
  chain: ChainModel,
  accepted: readonly Accepted[],
  delivered: ReadonlyMap<number, Delivery>,
): void {
  const told = [...delivered.values()].find(({ kind }) => kind === "cancel_requested")?.run;
  if (told !== undefined && told !== chain.runs.at(-1))
    witness.violate("I11", `run ${told.key} was told to stop, and its chain went on with run ${chain.runs.at(-1)?.key}`);
  for (const cancel of accepted) {
    if (cancel.kind !== "cancel" || told !== undefined) continue;
    const at = chain.runs.findIndex(({ key }) => key === cancel.runKey);
    if (at < chain.runs.length - 1) tally.count("cancel:movedAlong");
    const linesSince = chain.runs.slice(at).reduce((sum, run) => sum + run.lines.length, -cancel.linesThen);
    // A run may end by what came before the cancel.
    if (linesSince > cancel.position + linesInFlight)
      witness.violate(
        "I11",
        `run ${cancel.runKey} accepted a cancel at ${cancel.position}, went on for ${linesSince} lines and was never told`,
      );
  }
}

/** Accepted updates are answered unless their run has ended; refused ones leave an answer and no line. */
function checkUpdates(
  { state, witness, tally }: FinalOptions,
  chain: ChainModel,
  accepted: readonly Accepted[],
  delivered: ReadonlyMap<number, Delivery>,
): void {
  const byId = new Map<string, number>();
  for (const run of chain.runs) {
    for (const envelope of run.envelopes) {
      if (envelope.kind !== "update_accepted") continue;
      byId.set(envelope.id, (byId.get(envelope.id) ?? 0) + 1);
      const entry = state.entries.get(chain.key)?.get(`answer:${envelope.id}`);
      if (entry === undefined && (run.status === "completed" || (run.status === "continued" && !isRetry(run))))
        witness.violate("updates", `run ${run.key} has ${run.status} without answering the update ${envelope.id}`);
      if (entry !== undefined) tally.count("update:answered");
    }
  }
  for (const [id, count] of byId) if (count > 1) witness.violate("updates", `chain ${chain.key}: update ${id} was accepted ${count} times`);
  for (const [name, { payload }] of state.entries.get(chain.key) ?? []) {
    if (!name.startsWith("answer:")) continue;
    const { status } = readAnswer(textOf(payload) ?? "");
    tally.count(`answer:${status}`);
    if ((status === "refused") === byId.has(name.slice(7)))
      witness.violate("updates", `chain ${chain.key}: ${name} is ${status}, and ${byId.has(name.slice(7)) ? "" : "not "}in the history`);
  }
  for (const { kind, position, options } of accepted) {
    if (kind !== "update" || delivered.has(position) || !chain.consumed.has(position)) continue;
    const { id } = JSON.parse(options ?? "{}") as { readonly id?: string };
    if (state.entries.get(chain.key)?.has(`answer:${id}`) !== true)
      witness.violate("updates", `chain ${chain.key}: update ${id} at ${position} was taken and is nowhere`);
  }
}

function isRetry({ envelopes }: RunModel): boolean {
  const last = envelopes.at(-1);
  return last?.kind === "run_continued" && last.retry === true;
}
