/**
 * Checked after every call that reached the store, before any other can: the store's tables against a model that is built from nothing but what was
 * asked and answered. The model is small on purpose: what it says about each run is what the invariants speak of.
 */
import type { MemoryState, RunRow } from "../../backends/memory/state.js";
import type { Effects, Operation, Outcome, SendOperation, StartOperation, TurnOperation } from "../../backend/operations.js";
import { nextStatuses, type HistoryRecord, type Payload, type RunStatus } from "../../backend/records.js";
import { isTerminal, readEnvelope, type EventEnvelope } from "../../core/events.js";
import type { StoreMethod } from "./sim-store.js";
import type { Tally } from "./tally.js";
import type { VirtualProcess } from "./virtual-process.js";
import type { Witness } from "./witness.js";

/** What the checker knows of a run. */
export interface RunModel {
  readonly key: number;
  status: RunStatus;
  epoch: number;
  /** Who was given the current epoch; null if nobody. */
  holder: VirtualProcess | null;
  readonly lines: HistoryRecord[];
  readonly envelopes: EventEnvelope[];
  inboxCount: number;
  /** Commands whose outcome is recorded. */
  readonly settled: Set<number>;
  readonly dueOf: Map<number, number>;
  commandCount: number;
  readonly consumed: Set<number>;
  endedAt: number | null;
}

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
  readonly #options: CheckerOptions;

  constructor(options: CheckerOptions) {
    this.#options = options;
  }

  observe({ process, method, args, result }: ObservedCall): void {
    const { state } = this.#options;
    if (method === "apply") this.#observeApply(process, args as readonly Operation[], result as readonly Outcome[]);
    if (method === "reclaimRun") this.#options.tally.count(result === null ? "resolve:lost" : "resolve:kept");
    if (method === "renewLease") this.#options.tally.count(result === true ? "lease:renewed" : "lease:refused");
    if (method === "recover") {
      const { runs, tasks } = result as { readonly runs: number; readonly tasks: number };
      if (runs > 0) this.#options.tally.count("takeover");
      if (tasks > 0) this.#options.tally.count("taskTakeover");
    }
    for (const row of state.runs.values()) {
      const model = this.models.get(row.key);
      if (model === undefined) this.#violate("I10", `run ${row.key} appeared without a start`);
      else this.#compare(row, model, process, method);
    }
  }

  #observeApply(process: VirtualProcess, operations: readonly Operation[], outcomes: readonly Outcome[]): void {
    if (operations.length !== outcomes.length) this.#violate("I16", `${operations.length} operations have ${outcomes.length} outcomes`);
    if (operations.length > 1) this.#options.tally.count("batched");
    for (const [index, operation] of operations.entries()) {
      const outcome = outcomes[index];
      if (outcome !== undefined) this.#observeOperation(process, operation, outcome);
    }
  }

  #observeOperation(process: VirtualProcess, operation: Operation, outcome: Outcome): void {
    this.#options.tally.count(`${operation.type}:${outcome.status}`);
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
        return;
      case "finish_task":
        if (outcome.status === "finished" && operation.kind !== "done")
          this.#accept(outcome.runKey, outcome.position, { ...noItem, kind: operation.kind, payload: operation.payload }, null);
        return;
      case "touch_task":
      case "append":
      case "terminate":
      case "resume":
        return;
      default:
        operation satisfies never;
    }
  }

  #observeStart(process: VirtualProcess, operation: StartOperation, key: number): void {
    const model = createRunModel(key);
    this.models.set(key, model);
    if (operation.eager === null) this.#accept(key, 1, { ...noItem, kind: "start", payload: operation.input }, null);
    for (const item of operation.messages) this.#accept(key, model.inboxCount + 1, item, null);
    if (operation.eager === null) return;
    model.epoch = 1;
    model.holder = process;
    this.#observeEffects(model, operation.eager.effects);
  }

  #observeTurn(process: VirtualProcess, { key, epoch, lastSeq, effects }: TurnOperation): void {
    const model = this.models.get(key);
    if (model === undefined) return this.#violate("I2", `a turn of run ${key} was committed, which was never started`);
    if (epoch !== model.epoch) this.#violate("I2", `run ${key}: a turn of epoch ${epoch} was committed in epoch ${model.epoch}`);
    if (model.holder !== process)
      this.#violate("I2", `run ${key}: ${process.name} committed a turn in epoch ${model.epoch} of ${model.holder?.name ?? "nobody"}`);
    if (lastSeq !== model.lines.length)
      this.#violate("I1", `run ${key}: a turn after line ${lastSeq} was committed after line ${model.lines.length}`);
    this.#observeEffects(model, effects);
  }

  #observeFenced(process: VirtualProcess, { key, epoch }: TurnOperation): void {
    const model = this.models.get(key);
    if (model !== undefined && epoch < model.epoch && model.holder !== process) this.#options.tally.count("zombieWrite");
  }

  #observeEffects(model: RunModel, effects: Effects): void {
    for (const line of effects.events) this.#observeLine(model, line);
    for (const position of effects.consumed) {
      if (model.consumed.has(position)) this.#violate("I6", `run ${model.key}: inbox position ${position} was taken twice`);
      if (position > model.inboxCount) this.#violate("I6", `run ${model.key}: inbox position ${position} was taken of ${model.inboxCount}`);
      model.consumed.add(position);
    }
    if (effects.next.state !== "ended") return;
    if (effects.inboxSeen < model.inboxCount)
      this.#violate("I6", `run ${model.key} ended having seen ${effects.inboxSeen} of ${model.inboxCount} inbox items`);
    if (!isTerminal(model.envelopes.at(-1) ?? { kind: "deadline_passed", commands: [] }))
      this.#violate("I4", `run ${model.key} ended without a terminal line`);
  }

  #observeLine(model: RunModel, line: HistoryRecord): void {
    const envelope = readEnvelope(line.event);
    const last = model.lines.at(-1);
    const now = this.#options.storeNow();
    if (line.seq !== model.lines.length + 1) this.#violate("I1", `run ${model.key}: line ${line.seq} follows line ${model.lines.length}`);
    if (last !== undefined && line.at < last.at) this.#violate("I17", `run ${model.key}: line ${line.seq} is earlier than the one before`);
    if (line.at > now + this.#options.toleranceMs)
      this.#violate("I17", `run ${model.key}: line ${line.seq} is ${line.at - now} ms in the future`);
    const lastEnvelope = model.envelopes.at(-1);
    if (lastEnvelope !== undefined && isTerminal(lastEnvelope))
      this.#violate("I4", `run ${model.key}: line ${line.seq} (${envelope.kind}) follows the terminal one`);
    model.lines.push(line);
    model.envelopes.push(envelope);
    if (envelope.kind === "deadline_passed") this.#checkDeadline(model, line, now);
    if (envelope.kind === "timer_fired") this.#checkDue(model, envelope.command, line, now);
    if ("command" in envelope && envelope.kind !== "attempt_failed") {
      if (model.settled.has(envelope.command))
        this.#violate("I3", `run ${model.key}: command ${envelope.command} has a second outcome (${line.event})`);
      if (envelope.command > model.commandCount)
        this.#violate("I3", `run ${model.key}: command ${envelope.command} has an outcome before it was issued`);
      model.settled.add(envelope.command);
    }
    if (!("commands" in envelope)) return;
    for (const [, , dueAt] of envelope.commands) {
      model.commandCount++;
      if (dueAt !== undefined) model.dueOf.set(model.commandCount, dueAt);
    }
  }

  #checkDeadline(model: RunModel, line: HistoryRecord, now: number): void {
    const deadlineAt = this.#options.state.runs.get(model.key)?.deadlineAt ?? Infinity;
    if (line.at < deadlineAt || now + this.#options.toleranceMs < deadlineAt)
      this.#violate("I17", `run ${model.key}: the deadline passed ${deadlineAt - Math.min(line.at, now)} ms early`);
  }

  #checkDue(model: RunModel, command: number, line: HistoryRecord, now: number): void {
    const dueAt = model.dueOf.get(command);
    if (dueAt === undefined) return this.#violate("I17", `run ${model.key}: a timer fired for command ${command}, which has none`);
    if (line.at < dueAt || now + this.#options.toleranceMs < dueAt)
      this.#violate("I17", `run ${model.key}: the timer of command ${command} fired ${dueAt - Math.min(line.at, now)} ms early`);
  }

  #accept(runKey: number, position: number, item: SendOperation["item"], dedupeKey: string | null): void {
    const model = this.models.get(runKey);
    if (model === undefined) return this.#violate("I6", `an item was accepted for run ${runKey}, which was never started`);
    if (position !== model.inboxCount + 1) this.#violate("I6", `run ${runKey}: inbox position ${position} follows ${model.inboxCount}`);
    model.inboxCount = position;
    this.#options.witness.accepted.push({
      runKey,
      position,
      kind: item.kind,
      name: item.name,
      payload: textOf(item.payload),
      dedupeKey,
      linesThen: model.lines.length,
      atMs: this.#options.witness.nowMs(),
    });
  }

  #compare(row: RunRow, model: RunModel, process: VirtualProcess, method: StoreMethod): void {
    const history = this.#options.state.histories.get(row.key) ?? [];
    if (row.lastSeq !== model.lines.length || history.length !== model.lines.length)
      this.#violate("I1", `run ${row.key} has ${history.length} lines, last ${row.lastSeq}, of ${model.lines.length} that were committed`);
    const [stored, committed] = [history.at(-1), model.lines.at(-1)];
    if (stored !== undefined && committed !== undefined && !sameLine(stored, committed))
      this.#violate("I1", `run ${row.key}: line ${stored.seq} is not what was committed`);
    if (!nextStatuses[model.status].includes(row.status) && row.status !== model.status)
      this.#violate("I5", `run ${row.key} went from ${model.status} to ${row.status}`);
    const inbox = this.#options.state.inboxes.get(row.chain);
    if (inbox?.count !== model.inboxCount)
      this.#violate("I6", `run ${row.key} has ${inbox?.count} inbox items of ${model.inboxCount} that were accepted`);
    if (row.epoch < model.epoch) this.#violate("I2", `run ${row.key} fell from epoch ${model.epoch} to ${row.epoch}`);
    if (row.epoch > model.epoch) this.#changeEpoch(row, model, process, method);
    else if (row.owner !== null && model.holder === null) this.#violate("I2", `run ${row.key} was given to a worker without a new epoch`);
    if (row.owner === null) model.holder = null;
    model.status = row.status;
    if (row.endedAt !== null) model.endedAt ??= row.endedAt;
  }

  #changeEpoch(row: RunRow, model: RunModel, process: VirtualProcess, method: StoreMethod): void {
    if (!claiming.has(method)) this.#violate("I2", `run ${row.key}: ${method} raised the epoch`);
    if (row.owner !== null && model.holder !== null && model.holder !== process) this.#options.tally.count("takenFromOwner");
    model.epoch = row.epoch;
    model.holder = row.owner === null ? null : process;
  }

  #violate(invariant: string, message: string): void {
    this.#options.witness.violate(invariant, message);
  }
}

const noItem = { name: "", command: null, attempt: null, options: null } as const;

const createRunModel = (key: number): RunModel => ({
  key,
  status: "running",
  epoch: 0,
  holder: null,
  lines: [],
  envelopes: [],
  inboxCount: 0,
  settled: new Set(),
  dueOf: new Map(),
  commandCount: 0,
  consumed: new Set(),
  endedAt: null,
});

export const textOf = (payload: Payload | null): string | null =>
  payload === null || typeof payload === "string" ? payload : `bytes:${payload.length}`;

export const sameLine = (a: HistoryRecord, b: HistoryRecord): boolean =>
  a.seq === b.seq && a.at === b.at && a.event === b.event && textOf(a.payload) === textOf(b.payload);
