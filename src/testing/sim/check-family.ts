/** Parents and children: one child for each command, one completion for each parent, and no child that outlives its parent against its policy. */
import type { MemoryState, RunRow } from "../../backends/memory/state.js";
import { isOpen } from "../../backend/records.js";
import { readRunOptions, type ParentLink } from "../../worker/run-options.js";
import type { FinalOptions } from "./final-checks.js";
import { commandsIn, type ChainModel, type RunModel } from "./models.js";
import type { Witness } from "./witness.js";
import { textOf } from "./record-texts.js";

interface Child {
  readonly link: ParentLink;
  readonly chain: ChainModel;
  readonly last: RunModel;
}

function childrenOf(state: MemoryState, chains: ReadonlyMap<number, ChainModel>): readonly Child[] {
  return [...chains.values()].flatMap((chain) => {
    const link = readRunOptions(state.runs.get(chain.key)?.options ?? null).parent;
    const last = chain.runs.at(-1);
    return link === undefined || last === undefined ? [] : [{ link, chain, last }];
  });
}

export function checkFamily(options: FinalOptions): void {
  const { state, models, chains, witness } = options;
  const byRunId = new Map([...models.values()].map((model) => [model.runId, model]));
  const started = new Map<string, Child>();
  for (const child of childrenOf(state, chains)) {
    const command = `${child.link.runId}/${child.link.command}`;
    const twin = started.get(command);
    if (twin !== undefined) witness.violate("I19", `command ${command} has two children: runs ${twin.chain.key} and ${child.chain.key}`);
    started.set(command, child);
    const parent = byRunId.get(child.link.runId);
    if (parent === undefined || commandsIn(parent)[child.link.command - 1]?.[0] !== "child")
      witness.violate("I19", `run ${child.chain.key} is a child of command ${command}, which is not there`);
    else checkCompletion(options, parent, child);
  }
  for (const parent of models.values()) {
    const begun = new Set<number>();
    for (const envelope of parent.envelopes) {
      if (envelope.kind !== "operation_started" || commandsIn(parent)[envelope.command - 1]?.[0] !== "child") continue;
      const command = `${parent.runId}/${envelope.command}`;
      if (begun.has(envelope.command)) witness.violate("I19", `run ${parent.key} recorded twice that child ${command} was stored`);
      begun.add(envelope.command);
      if (!started.has(command)) witness.violate("I19", `run ${parent.key} recorded that child ${command} was stored, and it is not there`);
    }
  }
}

function checkCompletion({ state, witness, tally }: FinalOptions, parent: RunModel, { link, last }: Child): void {
  const command = `${link.runId}/${link.command}`;
  const told = witness.accepted.filter(
    ({ runKey, kind, command: number }) => runKey === parent.key && number === link.command && kind.startsWith("activity_"),
  );
  if (told.length > 1) witness.violate("I19", `run ${parent.key} was told ${told.length} times of the end of child ${command}`);
  const index = parent.envelopes.findIndex(
    (envelope) => "command" in envelope && envelope.command === link.command && isOutcome(envelope.kind),
  );
  const outcome = parent.envelopes[index];
  if (outcome === undefined) return;
  tally.count(`child:${outcome.kind}`);
  const given = textOf(parent.lines[index]?.payload ?? null);
  if (outcome.kind !== "operation_completed") {
    if (last.status === "completed" && told.length > 0) witness.violate("I19", `child ${command} completed, and its parent has ${given}`);
    return;
  }
  const result = textOf(state.histories.get(last.key)?.at(-1)?.payload ?? null);
  if (last.status !== "completed" || result !== given)
    witness.violate("I19", `child ${command} ${last.status} with ${result}, and its parent has ${given}`);
}

const isOutcome = (kind: string): boolean => kind === "operation_completed" || kind === "operation_failed";

export interface OrphanOptions {
  readonly state: MemoryState;
  readonly chains: ReadonlyMap<number, ChainModel>;
  readonly models: ReadonlyMap<number, RunModel>;
  readonly witness: Witness;
}

/** When nothing moves any more: children that go on although their parent ended, or does not want them. */
export function findOrphans({ state, chains, models, witness }: OrphanOptions): readonly RunRow[] {
  const byRunId = new Map([...models.values()].map((model) => [model.runId, model]));
  return childrenOf(state, chains).flatMap(({ link, chain, last }) => {
    const row = state.runs.get(last.key);
    const parent = byRunId.get(link.runId);
    if (row === undefined || parent === undefined || !isOpen(row.status) || link.onClose === "abandon") return [];
    const hasParentEnded = !isOpen(parent.status);
    const wasWithdrawn = parent.envelopes.some((envelope) => "withdrawn" in envelope && envelope.withdrawn?.includes(link.command));
    if (!hasParentEnded && !wasWithdrawn) return [];
    const isTold = witness.accepted.some((item) => item.chain === chain.key && item.kind === "cancel");
    return isTold && (link.onClose === "cancel" || !hasParentEnded) ? [] : [row];
  });
}
