/**
 * Checked after every call that reached the store, before any other can: the store's tables against a model that is built from nothing but what was
 * asked and answered. The model is small on purpose: what it says about each run is what the invariants speak of.
 */
import type { Pulse } from "../../backend/backend.js";
import { isOpen, nextStatuses, type ClaimedTask, type InboxItem, type Termination } from "../../backend/records.js";
import type { MemoryState, RunRow } from "../../backends/memory/state.js";
import type {
  AppendOperation,
  Effects,
  FinishTaskOperation,
  NextState,
  Operation,
  Outcome,
  StartOperation,
  TurnOperation,
} from "../../backend/operations.js";
import { isTerminal, readEnvelope } from "../../core/events.js";
import { enterLine } from "./line-checks.js";
import { createChainModel, createRunModel, hasEnded, type ChainModel, type RunModel } from "./models.js";
import type { StoreMethod } from "./sim-store.js";
import type { Tally } from "./tally.js";
import { TaskModels } from "./task-models.js";
import type { VirtualProcess } from "./virtual-process.js";
import type { Witness } from "./witness.js";
import { sameLine, textOf } from "./record-texts.js";

interface CheckerOptions {
  readonly state: MemoryState;
  readonly witness: Witness;
  readonly tally: Tally;
  readonly storeNow: () => number;
  /** How far processes may be wrong about the store's time, in ms. */
  readonly toleranceMs: number;
}

/** A call that reached the store. */
export interface ObservedCall {
  readonly process: VirtualProcess;
  readonly method: StoreMethod;
  readonly args: unknown;
  readonly result: unknown;
}

const claiming: ReadonlySet<StoreMethod> = new Set(["apply", "claimRuns", "reclaimRun", "recover", "retireWorker", "release"]);

export class OnlineChecker {
  readonly models = new Map<number, RunModel>();
  readonly chains = new Map<number, ChainModel>();
  readonly #options: CheckerOptions;
  readonly #newest = new Map<string, RunModel>();
  readonly #tasks = new TaskModels();
  /** Runs that have ended and were looked at since: nothing of them changes any more but what is checked at rest. */
  readonly #done = new Set<number>();

  constructor(options: CheckerOptions) {
    this.#options = options;
  }

  observe({ process, method, args, result }: ObservedCall): void {
    const { state, tally, storeNow } = this.#options;
    if (method === "apply") this.#observeApply(process, args as readonly Operation[], result as readonly Outcome[]);
    if (method === "reclaimRun") tally.count(result === null ? "resolve:lost" : "resolve:kept");
    if (method === "pulse") tally.count((result as Pulse).isAlive ? "lease:renewed" : "lease:refused");
    if (method === "claimTasks")
      for (const task of (result as { readonly tasks: readonly ClaimedTask[] }).tasks) this.#tasks.claim(task, storeNow());
    if (method === "expireTasks" && (result as number) > 0) this.#observeExpiries();
    if (method === "recover") {
      const { runs, tasks } = result as { readonly runs: number; readonly tasks: number };
      if (runs > 0) tally.count("takeover");
      if (tasks > 0) tally.count("taskTakeover");
    }
    for (const row of state.runs.values()) {
      if (this.#done.has(row.key)) continue;
      const model = this.models.get(row.key);
      if (model === undefined) this.#violate("I10", `run ${row.key} appeared without a start`);
      else this.#compare(row, model, process, method);
    }
  }

  // Operations.

  #observeApply(process: VirtualProcess, operations: readonly Operation[], outcomes: readonly Outcome[]): void {
    if (operations.length !== outcomes.length) this.#violate("I16", `${operations.length} operations have ${outcomes.length} outcomes`);
    if (operations.length > 1) this.#options.tally.count("batched");
    for (const [index, operation] of operations.entries()) {
      const outcome = outcomes[index];
      if (outcome !== undefined) this.#observeOperation(process, operation, outcome);
    }
  }

  #observeOperation(process: VirtualProcess, operation: Operation, outcome: Outcome): void {
    const { tally, storeNow } = this.#options;
    tally.count(`${operation.type}:${outcome.status}`);
    switch (operation.type) {
      case "start":
        if (outcome.status === "started") this.#observeStart(process, operation, outcome.key);
        return;
      case "turn":
        if (outcome.status === "committed") this.#observeTurn(process, operation);
        if (outcome.status === "fenced") this.#observeFenced(process, operation);
        return;
      case "send":
        if (outcome.status === "sent") this.#accept(outcome.key, outcome.position, operation.item, operation.dedupeKey);
        if (outcome.status === "sent") tally.count(`sent:${operation.dedupeKey.split("/", 1)[0]}`);
        return;
      case "finish_task":
        if (outcome.status === "finished") this.#observeFinish(operation, outcome.runKey, outcome.position);
        return;
      case "touch_task":
        if (outcome.status === "touched") this.#tasks.touch(operation.key, storeNow());
        if (outcome.status === "touched" && operation.detach) tally.count("detached");
        return;
      case "append":
        if (outcome.status === "appended") this.#observeAppend(process, operation);
        return;
      case "terminate":
        if (outcome.status === "terminated") this.#observeTermination(outcome.key, operation.termination);
        return;
      case "resume":
        return;
      default:
        operation satisfies never;
    }
  }

  #observeStart(process: VirtualProcess, operation: StartOperation, key: number): void {
    const { run, reuse, terminates, eager, messages, input } = operation;
    const before = this.#newest.get(run.workflowId);
    if (before !== undefined) {
      if (!hasEnded(before)) {
        if (terminates === null) this.#violate("I10", `run ${key} was started although run ${before.key} of ${run.workflowId} is open`);
        else this.#observeTermination(before.key, terminates);
        this.#options.tally.count("start:instead");
      } else if (!isReusable(before, reuse)) {
        this.#violate(
          "I10",
          `run ${key} was started although run ${before.key} of ${run.workflowId} is there (${before.status}, ${reuse})`,
        );
      }
      this.#options.tally.count("start:again");
    }
    if ([...this.models.values()].some((other) => other.runId === run.runId))
      this.#violate("I10", `the start of ${run.workflowId} as ${run.runId} was done twice`);
    const chain = createChainModel(key);
    this.chains.set(key, chain);
    const model = this.#enterRun(key, chain, run);
    if (eager === null) this.#accept(key, 1, { ...noItem, kind: "start", payload: input }, null);
    for (const item of messages) this.#accept(key, chain.inboxCount + 1, item, null);
    if (run.parentRunId !== null) this.#options.tally.count(eager?.effects.next.state === "ended" ? "child:preempted" : "child");
    if (eager === null) return;
    model.epoch = 1;
    model.holder = process;
    this.#observeEffects(model, eager.effects, process);
  }

  #enterRun(key: number, chain: ChainModel, run: StartOperation["run"]): RunModel {
    const model = createRunModel(key, chain, run, this.#options.witness.nowMs());
    this.models.set(key, model);
    this.#newest.set(run.workflowId, model);
    return model;
  }

  #observeTurn(process: VirtualProcess, { key, epoch, lastSeq, effects }: TurnOperation): void {
    const model = this.models.get(key);
    if (model === undefined) return this.#violate("I2", `a turn of run ${key} was committed, which was never started`);
    if (epoch !== model.epoch) this.#violate("I2", `run ${key}: a turn of epoch ${epoch} was committed in epoch ${model.epoch}`);
    if (model.holder !== process)
      this.#violate("I2", `run ${key}: ${process.name} committed a turn in epoch ${model.epoch} of ${model.holder?.name ?? "nobody"}`);
    if (lastSeq !== model.lines.length)
      this.#violate("I1", `run ${key}: a turn after line ${lastSeq} was committed after line ${model.lines.length}`);
    this.#observeEffects(model, effects, process);
  }

  #observeFenced(process: VirtualProcess, { key, epoch }: TurnOperation): void {
    const model = this.models.get(key);
    if (model !== undefined && epoch < model.epoch && model.holder !== process) this.#options.tally.count("zombieWrite");
  }

  #observeEffects(model: RunModel, effects: Effects, process: VirtualProcess): void {
    const { tally, witness, state, storeNow, toleranceMs } = this.#options;
    const { chain } = model;
    const deadlineAt = state.runs.get(model.key)?.deadlineAt ?? Infinity;
    const context = { now: storeNow(), toleranceMs, deadlineAt, violate: (...what: [string, string]) => this.#violate(...what) };
    for (const line of effects.events) {
      enterLine(model, line, context);
      tally.count(`line:${readEnvelope(line.event).kind}`);
    }
    for (const position of effects.consumed) {
      // A commit of no line at all is made again when its answer was lost.
      if (chain.consumed.has(position) && effects.events.length > 0)
        this.#violate("I6", `run ${model.key}: inbox position ${position} was taken twice`);
      if (position > chain.inboxCount) this.#violate("I6", `run ${model.key}: inbox position ${position} was taken of ${chain.inboxCount}`);
      chain.consumed.add(position);
    }
    for (const task of effects.tasks) this.#tasks.queue(model.key, task);
    for (const task of effects.tasks)
      if (task.options.includes('"kind"')) tally.count(`errand:${(JSON.parse(task.options) as { kind: string }).kind}`);
    chain.shelf.write(effects.entries);
    for (const { name, payload } of effects.entries)
      if (name.startsWith("state:"))
        witness.published.push({
          chain: chain.key,
          workflowId: model.workflowId,
          name: name.slice(6),
          payload: textOf(payload) ?? "",
          atMs: witness.nowMs(),
        });
    this.#tell("streams", chain.shelf.append(effects.chunks));
    this.#observeNext(model, effects, process);
  }

  #observeNext(model: RunModel, { next, inboxSeen }: Effects, process: VirtualProcess): void {
    const { chain } = model;
    const last = model.envelopes.at(-1);
    switch (next.state) {
      case "driving":
      case "idle":
      case "parked":
        return;
      case "ended":
        if (inboxSeen < chain.inboxCount)
          this.#violate("I6", `run ${model.key} ended having seen ${inboxSeen} of ${chain.inboxCount} inbox items`);
        if (last === undefined || !isTerminal(last)) this.#violate("I4", `run ${model.key} ended without a terminal line`);
        model.status = next.status;
        return;
      case "continued":
        if (last?.kind !== "run_continued" || last.runId !== next.run.runId)
          this.#violate("I20", `run ${model.key} continues as ${next.run.runId} without saying so`);
        model.status = "continued";
        this.#observeContinuation(model, next, process);
        return;
      default:
        next satisfies never;
    }
  }

  #observeContinuation(model: RunModel, next: Extract<NextState, { readonly state: "continued" }>, process: VirtualProcess): void {
    const { state, tally } = this.#options;
    const { chain } = model;
    const row = state.runByRunId.get(next.run.runId);
    if (row === undefined || row.chain !== chain.key || row.workflowId !== model.workflowId)
      return this.#violate("I20", `run ${model.key} continues as ${next.run.runId}, which is not there`);
    const unread = (state.inboxes.get(chain.key)?.rows ?? []).filter((item) => !item.consumed && item.kind !== "start");
    if (unread.length > 0) tally.count("continued:unread");
    tally.count(next.dueAt === null ? "continued:asNew" : "continued:retry");
    const follower = this.#enterRun(row.key, chain, next.run);
    this.#accept(row.key, chain.inboxCount + 1, { ...noItem, kind: "start", payload: next.input }, null);
    if (next.dueAt !== null) return;
    follower.epoch = 1;
    follower.holder = process;
  }

  #observeFinish({ kind, payload, task }: FinishTaskOperation, runKey: number, position: number): void {
    const { tally } = this.#options;
    if (!("key" in task)) tally.count("finishedByToken");
    if (kind === "done") return;
    const command = "key" in task ? (this.#tasks.ofKey(task.key)?.command ?? null) : task.command;
    this.#accept(runKey, position, { ...noItem, kind, command, payload }, null);
  }

  /** Expired tasks are in the inboxes of their runs: the answer tells only how many there were. */
  #observeExpiries(): void {
    const { state, storeNow, tally } = this.#options;
    for (const chain of this.chains.values()) {
      const run = chain.runs.at(-1);
      const inbox = state.inboxes.get(chain.key);
      if (run === undefined || inbox === undefined || hasEnded(run)) continue;
      for (const item of inbox.rows.slice(chain.inboxCount)) {
        const early = item.kind === "activity_expired" ? this.#tasks.early(run.key, item, storeNow()) : "which it is not";
        if (early !== null) this.#violate("I17", `run ${run.key}: the activity of command ${item.command} expired (${item.name}) ${early}`);
        tally.count(`expired:${item.name}`);
        this.#accept(run.key, item.position, item, null);
      }
    }
  }

  #observeAppend(process: VirtualProcess, { on, chunks }: AppendOperation): void {
    const runKey = "run" in on ? on.run : this.#tasks.ofKey(on.task)?.runKey;
    const model = this.models.get(runKey ?? 0);
    if (model === undefined) return this.#violate("streams", "chunks were appended to no run");
    if ("run" in on && (on.epoch !== model.epoch || model.holder !== process))
      this.#violate(
        "I2",
        `run ${model.key}: ${process.name} appended in epoch ${on.epoch}, which is ${model.epoch} of ${model.holder?.name ?? "nobody"}`,
      );
    if (chunks.some((chunk) => chunk.restartAt !== null)) this.#options.tally.count("restart");
    this.#tell("streams", model.chain.shelf.append(chunks));
  }

  #observeTermination(key: number, { event }: Termination): void {
    const model = this.models.get(key);
    const line = this.#options.state.histories.get(key)?.at(-1);
    if (model === undefined || line?.event !== event)
      return this.#violate("I4", `run ${key} was terminated, and its history does not say so`);
    if (hasEnded(model)) this.#violate("I4", `run ${key} was terminated, and had ended before`);
    const violate = (...what: [string, string]): void => this.#violate(...what);
    enterLine(model, line, { now: this.#options.storeNow(), toleranceMs: Infinity, deadlineAt: 0, violate });
    model.status = "terminated";
  }

  #accept(runKey: number, position: number, item: InboxItem, dedupeKey: string | null): void {
    const { witness } = this.#options;
    const model = this.models.get(runKey);
    if (model === undefined) return this.#violate("I6", `an item was accepted for run ${runKey}, which was never started`);
    const { chain } = model;
    if (position !== chain.inboxCount + 1) this.#violate("I6", `run ${runKey}: inbox position ${position} follows ${chain.inboxCount}`);
    chain.inboxCount = position;
    witness.accepted.push({
      runKey,
      chain: chain.key,
      position,
      kind: item.kind,
      name: item.name,
      command: item.command,
      payload: textOf(item.payload),
      options: item.options,
      dedupeKey,
      linesThen: model.lines.length,
      atMs: witness.nowMs(),
    });
  }

  // Rows.

  #compare(row: RunRow, model: RunModel, process: VirtualProcess, method: StoreMethod): void {
    const { state, witness } = this.#options;
    const history = state.histories.get(row.key) ?? [];
    if (row.lastSeq !== model.lines.length || history.length !== model.lines.length)
      this.#violate("I1", `run ${row.key} has ${history.length} lines, last ${row.lastSeq}, of ${model.lines.length} that were committed`);
    const [stored, committed] = [history.at(-1), model.lines.at(-1)];
    if (stored !== undefined && committed !== undefined && !sameLine(stored, committed))
      this.#violate("I1", `run ${row.key}: line ${stored.seq} is not what was committed`);
    if (!nextStatuses[model.status].includes(row.status) && row.status !== model.status)
      this.#violate("I5", `run ${row.key} went from ${model.status} to ${row.status}`);
    const inbox = state.inboxes.get(row.chain);
    if (inbox?.count !== model.chain.inboxCount)
      this.#violate("I6", `run ${row.key} has ${inbox?.count} inbox items of ${model.chain.inboxCount} that were accepted`);
    this.#tell("shelf", model.chain.shelf.differs(state, row.chain));
    if (row.epoch < model.epoch) this.#violate("I2", `run ${row.key} fell from epoch ${model.epoch} to ${row.epoch}`);
    if (row.epoch > model.epoch) this.#changeEpoch(row, model, process, method);
    else if (row.owner !== null && model.holder === null) this.#violate("I2", `run ${row.key} was given to a worker without a new epoch`);
    if (row.owner === null) model.holder = null;
    model.status = row.status;
    if (isOpen(row.status)) {
      if (state.newestRunByWorkflowId.get(row.workflowId) !== row)
        this.#violate("I10", `run ${row.key} of ${row.workflowId} is open beside another`);
      return;
    }
    model.endedAtMs ??= witness.nowMs();
    this.#done.add(row.key);
  }

  #changeEpoch(row: RunRow, model: RunModel, process: VirtualProcess, method: StoreMethod): void {
    if (!claiming.has(method)) this.#violate("I2", `run ${row.key}: ${method} raised the epoch`);
    if (row.owner !== null && model.holder !== null && model.holder !== process) this.#options.tally.count("takenFromOwner");
    model.epoch = row.epoch;
    model.holder = row.owner === null ? null : process;
  }

  #tell(what: string, wrong: string | null): void {
    if (wrong !== null) this.#violate(what, wrong);
  }

  #violate(invariant: string, message: string): void {
    this.#options.witness.violate(invariant, message);
  }
}

function isReusable({ status }: RunModel, reuse: StartOperation["reuse"]): boolean {
  return reuse === "always" || (reuse === "after_failure" && (status === "failed" || status === "cancelled" || status === "terminated"));
}

const noItem = { name: "", command: null, attempt: null, options: null } as const;
