/**
 * Drives one run that this worker owns:
 *
 *     beginTurn ─ drain ─ endTurn ─┬─ more events at hand ─▶ beginTurn
 *                                  └─ none ─▶ commit ─┬─ committed, bodies in flight ─▶ wait for what they give
 *                                                     ├─ committed, nothing local ───▶ given up (kept warm)
 *                                                     ├─ ended or parked ────────────▶ over
 *                                                     ├─ unseen inbox ───────────────▶ rewind, deliver, go on
 *                                                     └─ fenced ─────────────────────▶ dropped in silence
 *
 * Apply, then commit, then act: everything a turn does is speculation until its commit. Bodies start, aborts fire, logs are written and waiters are told
 * only in `#committed`. One commit is in flight at a time; what arrives meanwhile waits for the next turn.
 */
import type { Effects, Outcome, StartOperation, TurnOperation, TurnOutcome } from "../backend/operations.js";
import type { ClaimedRun, ParkReason, RunKey } from "../backend/records.js";
import { CancelledError, PerdureError } from "../errors.js";
import { historyEventsMax } from "../core/defaults.js";
import type { RunMachine } from "../core/run-machine.js";
import type { TurnResult } from "../core/turn-result.js";
import { Mailbox } from "./mailbox.js";
import { chooseEvent, nextTime, type Arrival, type ChosenEvent, type Mail, type Sources } from "./next-event.js";
import type { Birth } from "./birth.js";
import type { DriverEnd, DriverOptions, Next } from "./driver-options.js";
import type { DriverHost } from "./driver-host.js";
import { divergedReason, errorReason, retryParkedAt } from "./parking.js";
import { RunBodies } from "./run-bodies.js";
import { endOf, type EndingRun, type FinalState } from "./run-end.js";
import { Speculation } from "./speculation.js";
import type { Body } from "./step-runner.js";
import { StoreFailure } from "../backend/failures.js";

/** So many turns are committed together at most: a larger commit would hold up the event loop, and everybody else's. */
const turnsMax = 500;

export class RunDriver {
  readonly machine: RunMachine;
  readonly #host: DriverHost;
  readonly #run: EndingRun;
  #key: RunKey = 0;
  #epoch = 0;
  #lastSeq = 0;
  #lastAt = 0;
  #parkCount: number;
  readonly #mailbox = new Mailbox();
  readonly #arrivals: Arrival[] = [];
  /** One object for the life of the driver: it is asked for every event. */
  readonly #sources: Sources;
  #speculation = new Speculation();
  readonly #bodies: RunBodies;
  #timer: { cancel(): void } | undefined;
  #chosen: ChosenEvent | undefined;
  /** The start that this driver is the eager part of, until it is committed. */
  #birth: Birth | undefined;
  /** Has that start been handed to the store? From then on only the store's answer counts. */
  #submitted = false;
  /** How the code has ended, if that has to wait until its run is stored. */
  #final: FinalState | undefined;
  /** What this process cannot read of the run: it is parked for it. */
  #trouble: { readonly error: unknown } | undefined;
  /** Given up, if the next commit gets through, until this time (null: until something arrives); undefined: not given up. */
  #idleUntil: number | null | undefined;
  #busy = false;
  #over = false;

  constructor(options: DriverOptions) {
    this.#host = options.host;
    this.machine = options.machine;
    this.#run = options.run;
    this.#parkCount = options.parkCount;
    this.#bodies = new RunBodies(options.host, options.machine);
    this.#sources = {
      machine: options.machine,
      codec: options.host.codec,
      mail: this.#mailbox.unread,
      arrivals: this.#arrivals,
      deadlineAt: options.run.deadlineAt,
      now: 0,
      lastAt: 0,
      random: () => this.#host.runtime.random(),
      onDropped: (position) => void this.#speculation.consumed.push(position),
      onRefused: (answer) => this.#speculation.answer(answer),
    };
  }

  get key(): RunKey {
    return this.#key;
  }
  get epoch(): number {
    return this.#epoch;
  }
  get lastSeq(): number {
    return this.#lastSeq;
  }
  get lastAt(): number {
    return this.#lastAt;
  }
  get inboxSeen(): number {
    return this.#mailbox.seen;
  }
  get over(): boolean {
    return this.#over;
  }
  /** Does user code of this run have a body in flight here? */
  get hasBodies(): boolean {
    return this.#bodies.size > 0;
  }

  /** Takes up a claimed run whose machine stands after line `claimed.lastSeq` and whose inbox has been read. `final`: its code has ended, and that is not recorded. */
  adopt(claimed: ClaimedRun, lastAt: number, mail: readonly Mail[], final?: FinalState): void {
    this.#final = final;
    this.#key = claimed.key;
    this.#epoch = claimed.epoch;
    this.#lastSeq = claimed.lastSeq;
    this.#lastAt = lastAt;
    this.#parkCount = claimed.parkCount;
    this.#over = false;
    this.#trouble = undefined;
    this.#bodies.forgetRetries();
    this.#mailbox.add(mail, claimed.inboxCount);
    if (final === undefined) this.#bodies.startPending(this.#arrivals, mail);
    this.wake();
  }

  /** Runs the first turn of a run that is not in the store yet. */
  bear(birth: Birth): void {
    this.#birth = birth;
    this.#mailbox.begin(birth.mail);
    this.wake();
  }

  /** Something may have changed for this run: give it a turn when it is its time. */
  wake(): void {
    if (!this.#busy && !this.#over) {
      this.#busy = true;
      this.#host.schedule(this);
    }
  }

  /** The store says that the inbox has this many items. */
  notice(inboxCount: number): void {
    if (inboxCount <= this.#mailbox.count || this.#over) return;
    this.#mailbox.notice(inboxCount);
    if (!this.#busy) void this.#fetchMail();
  }

  /** Lets go of the run without a word to the store: somebody else has it, or will have it. */
  drop(reason: Error): void {
    this.#finish("dropped", () => reason);
  }

  // Turns. ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Begins the next event, if there is one. False: nothing to do now; the driver has committed or settled down. */
  beginTurn(): boolean {
    if (this.#over) return false;
    try {
      if (this.#trouble !== undefined) throw this.#trouble.error;
      if (this.#final !== undefined && this.#birth === undefined) {
        this.#end(this.#final);
        return false;
      }
      this.#chosen = this.machine.divergence === undefined ? this.#choose() : undefined;
      if (this.#chosen === undefined) {
        // Mail that no receiver waits for is not an event at hand: code that has nothing else to come waits for something foreign.
        const divergence = this.machine.stalled();
        if (divergence === undefined) this.#settle();
        else this.#park(divergedReason(divergence));
        return false;
      }
      const { event } = this.#chosen;
      // As it was before the code could change it.
      if (event.kind === "started" && this.#run.mayContinue) this.#run.inputText = this.#host.codec.encode(event.input, "the input");
      this.machine.begin(event, this.#nextSeq, undefined);
      return true;
    } catch (error) {
      this.#park(errorReason(error));
      return false;
    }
  }

  /** Collects the turn after its drain. */
  endTurn(): void {
    const chosen = this.#chosen;
    if (this.#over || chosen === undefined) return;
    this.#chosen = undefined;
    try {
      const result = this.machine.end(this.#mailbox.unread.length + this.#arrivals.length > 0);
      if (result.outcome.state === "diverged") return this.#park(divergedReason(result.outcome.divergence));
      this.#record(chosen, result);
      switch (result.outcome.state) {
        case "waiting":
          return this.#speculation.events.length < turnsMax ? this.#host.schedule(this) : this.#commit(driving);
        case "completed":
        case "failed":
        case "cancelled":
        case "continued":
          return this.#end(result.outcome);
        default:
          result.outcome satisfies never;
      }
    } catch (error) {
      this.#park(errorReason(error));
    }
  }

  get #nextSeq(): number {
    return this.#lastSeq + this.#speculation.events.length + 1;
  }

  #choose(): ChosenEvent | undefined {
    if (this.#nextSeq > historyEventsMax) throw new PerdureError("history_too_long", `The history has reached ${historyEventsMax} events.`);
    this.#sources.now = this.#host.store.now();
    this.#sources.lastAt = this.#lastAt;
    return chooseEvent(this.#sources);
  }

  /** Notes a turn as speculation, to be committed. */
  #record(chosen: ChosenEvent, result: TurnResult): void {
    this.#speculation.record(this.#nextSeq, chosen, result, this.machine.pending);
    this.#lastAt = chosen.event.at;
  }

  // Commits. ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** No event is at hand: commit what there is, give the run up if nothing here will move it, or just wait. */
  #settle(): void {
    const waits = this.#bodies.size > 0 || this.#speculation.startsBodies(this.#sources.now);
    // Mail that is being read keeps the run here: to give it up meanwhile is refused, again and again and the faster the longer the reading takes.
    if (this.#speculation.empty && (waits || this.#mailbox.isReading)) {
      this.#busy = false;
      this.#armTimer(this.#nextTime());
      if (this.#mailbox.isBehind) void this.#fetchMail();
      return;
    }
    // What was not begun here is due for others at once, as it is when a worker takes its leave; nothing else would ever make it so.
    this.#commit(waits || this.#bodies.hasWithheld ? driving : { state: "idle", dueAt: this.#nextTime() });
  }

  #nextTime(): number | null {
    return nextTime(this.machine, this.#run.deadlineAt, this.#bodies.retryTimes.first()?.dueAt, this.#speculation.retries.values());
  }

  #end(final: FinalState): void {
    const { machine } = this;
    const { codec, store, runtime } = this.#host;
    const end = endOf(final, this.#run, {
      encodeError: (error) => codec.encodeError(error),
      isVisible: codec.sync,
      isCancelled: machine.cancelRequested,
      nowMs: Math.max(this.#lastAt, store.now()),
      runId: () => runtime.uuid(),
      random: () => runtime.random(),
    });
    if (this.#birth !== undefined && end.next.state === "continued") {
      // A run is stored before the one that follows it.
      this.#final = final;
      return this.#commit(driving);
    }
    const { hadChildren } = machine;
    const leavesErrand = hadChildren || this.#run.options.parent !== undefined;
    this.#speculation.end = { ...end, seq: this.#nextSeq, at: this.#lastAt, leavesErrand, hadChildren };
    this.#commit(undefined);
  }

  /**
   * `inboxSeen` belongs to the decision, not to the attempt: mail may come in while a commit is tried again, and a run that was about to be given up or to
   * end has not looked at it. The store then keeps the run with its driver, or refuses the end. `next`: what becomes of the run, unless it ends.
   */
  #commit(next: Next | undefined, inboxSeen = this.#mailbox.seen): void {
    if (this.#over) return;
    const { codec } = this.#host;
    this.#idleUntil = next?.state === "idle" ? next.dueAt : undefined;
    const failed = (error: unknown): void => this.#commitFailed(error, next, inboxSeen);
    const submit = (effects: Effects): void => {
      // While it was sealed the run may have been dropped.
      if (!this.#over) this.#submit(effects, (outcome) => this.#decided(outcome, next, inboxSeen), failed);
    };
    try {
      if (codec.sync) submit(this.#speculation.effects(next, inboxSeen));
      else this.#speculation.sealedEffects(next, inboxSeen, codec, this.machine.facts.id).then(submit).catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #submit(effects: Effects, decided: (outcome: TurnOutcome) => void, failed: (error: unknown) => void): void {
    const { commits, worker } = this.#host;
    if (this.#birth !== undefined) {
      this.#submitted = true;
      commits.enqueue(this.#birth.operation({ worker, effects }), (outcome) => this.#born(outcome), failed);
    } else {
      const turn = { type: "turn", key: this.#key, epoch: this.#epoch, lastSeq: this.#lastSeq, effects } as const;
      commits.enqueue<TurnOperation>(turn, decided, failed);
    }
  }

  #born(outcome: Outcome<StartOperation>): void {
    const birth = this.#birth;
    this.#birth = undefined;
    if (outcome.status === "exists") {
      this.#finish("dropped", () => new PerdureError("lease_lost", "A run with this id was already there."));
    } else if (!this.#over) {
      this.#key = outcome.key;
      this.#epoch = 1;
      this.#committed(outcome);
    }
    birth?.onBorn(outcome);
  }

  #decided(outcome: TurnOutcome, next: Next | undefined, inboxSeen: number): void {
    if (this.#over) return;
    switch (outcome.status) {
      case "committed":
        return this.#committed(outcome);
      case "fenced":
        return this.#finish("dropped", leaseLost);
      case "unseen_inbox":
        this.#mailbox.notice(outcome.inboxCount);
        return this.#rewind();
      case "locked":
        this.#host.runtime.setTimer(() => this.#commit(next, inboxSeen), 2 + this.#host.runtime.random() * 8, { keepAlive: true });
        return;
      default:
        outcome satisfies never;
    }
  }

  /** The point where a turn becomes real: now what it asked for may be done. */
  #committed(outcome: { readonly owned: boolean; readonly inboxCount: number; readonly continued?: ClaimedRun | null }): void {
    const host = this.#host;
    const done = this.#speculation;
    this.#speculation = new Speculation();
    this.#lastSeq += done.events.length + (done.end === undefined ? 0 : 1);
    if (done.events.length > 0) this.#parkCount = 0;
    for (const line of done.logs) host.log(this.machine.facts, line);
    for (const command of done.withdrawn) this.#bodies.abort(command.number, () => new CancelledError("The operation was cancelled."));
    for (const command of done.cancelled) this.#bodies.ask(command.number, new CancelledError("The operation is to stop."));
    if (done.storedTerminal !== undefined) {
      host.onEnded(this, done.storedTerminal);
      if (done.queuesTasks) host.onTasksQueued();
      this.#finish("ended", () => new CancelledError("The run has ended."));
      if (outcome.continued) host.onContinued(outcome.continued);
      else if (done.end?.next.state === "continued") host.onRunsDue();
      return;
    }
    for (const [number, retryAt] of done.retries) this.#bodies.retryTimes.add(number, retryAt);
    this.#mailbox.notice(outcome.inboxCount);
    if (done.queuesTasks) host.onTasksQueued();
    if (!outcome.owned) return this.#finish(this.#idleUntil === undefined ? "parked" : "idle", leaseLost);
    if (this.#final === undefined) this.#bodies.startAll(done.bodies, this.#arrivals);
    // A worker that is closing finishes what it has begun.
    if (host.draining && this.#bodies.size + this.#arrivals.length === 0) return this.#finish("dropped", leaseLost);
    host.schedule(this);
    if (host.draining) return;
    if (this.#mailbox.isBehind) void this.#fetchMail();
  }

  #commitFailed(error: unknown, next: Next | undefined, inboxSeen: number): void {
    // Also of a driver that was dropped meanwhile: whoever started the run waits for the answer.
    const birth = this.#birth;
    if (birth !== undefined) {
      this.#birth = undefined;
      birth.onUnborn(error);
      return this.#finish("dropped", leaseLost);
    }
    if (this.#over) return;
    if (error instanceof StoreFailure && error.outcome === "unknown") {
      void this.#resolveUnknown(next, inboxSeen);
    } else if (next?.state === "parked" || (error instanceof StoreFailure && error.transient)) {
      this.#host.onTrouble(`A commit of run ${this.machine.facts.id} was refused; the run is given up and will be tried again.`, error);
      this.#giveBack();
    } else {
      // Given up it would be due at once, and run its bodies again only to be refused again.
      this.#park(errorReason(error));
    }
  }

  /**
   * A commit got no answer. Raising the epoch waits for, or fences, the statement that may still be under way; only then does the sequence number say
   * what became of it. Reading it without the claim would not: it may say 5 now and 6 a moment later.
   */
  async #resolveUnknown(next: Next | undefined, inboxSeen: number): Promise<void> {
    const host = this.#host;
    const claimed = await host
      .persistently(() => host.store.reclaimRun({ worker: host.worker, key: this.#key, epoch: this.#epoch }))
      .catch((error: unknown) => host.onTrouble(`It is not known what became of a commit of run ${this.machine.facts.id}.`, error));
    if (this.#over) return;
    // Not ours any more: fenced, or given up, parked or ended by that very commit. Or there is no knowing: the worker gives back what nobody here drives.
    if (claimed === null || claimed === undefined) return this.#finish("dropped", leaseLost);
    this.#epoch = claimed.epoch;
    const appended = this.#speculation.events.length + (this.#speculation.end === undefined ? 0 : 1);
    if (appended > 0 && claimed.lastSeq === this.#lastSeq + appended) this.#committed({ owned: true, inboxCount: claimed.inboxCount });
    else if (claimed.lastSeq === this.#lastSeq) this.#commit(next, inboxSeen);
    else this.#finish("dropped", leaseLost);
  }

  /** Something arrived before the end: throw the speculation away, stand after the last committed line again, and deliver it first. */
  #rewind(): void {
    this.#over = true;
    this.#armTimer(null);
    void this.#host.reload(this, [...this.#speculation.arrivals, ...this.#arrivals], this.#bodies.handOver());
  }

  /** Carries over from the driver of the same run that was rewound: its bodies are in flight still, and what they gave is not recorded yet. */
  inherit(arrivals: readonly Arrival[], bodies: ReadonlyMap<number, Body>): void {
    this.#arrivals.push(...arrivals);
    this.#bodies.inherit(bodies);
  }

  /** Keeps the run with its reason. What was speculated is thrown away: the history ends where the code was last understood. */
  #park(reason: ParkReason): void {
    this.#speculation = new Speculation();
    this.#host.onParked(this.machine.facts, reason);
    if (this.#birth !== undefined) return this.#bearUndriven();
    this.#bodies.abortAll(leaseLost);
    const dueAt = retryParkedAt(reason, this.#parkCount, this.#host.store.now());
    this.#commit({ state: "parked", reason, dueAt });
  }

  /** The first turn went wrong before the run was stored: store it without, so that it exists and is parked where everybody can see it. */
  #bearUndriven(): void {
    const birth = this.#birth;
    if (birth === undefined) return;
    this.#submitted = true;
    this.#host.commits.submit(birth.operation(null)).then(
      (outcome) => {
        this.#finish("dropped", leaseLost);
        birth.onBorn(outcome);
        this.#host.onRunsDue();
      },
      (error: unknown) => {
        this.#finish("dropped", leaseLost);
        birth.onUnborn(error);
      },
    );
  }

  #giveBack(): void {
    const host = this.#host;
    const key = this.#key;
    this.#finish("dropped", leaseLost);
    host
      .persistently(() => host.store.release({ worker: host.worker, runs: [key], tasks: [] }))
      .catch((error: unknown) => host.onTrouble(`Run ${this.machine.facts.id} could not be given back; trying again.`, error));
  }

  // Bodies, mail and time. ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A body has given its outcome. */
  arrive(body: Body, arrival: Arrival): void {
    if (!this.#bodies.done(arrival.command, body)) return;
    if (arrival.kind === "delivered") void this.#fetchMail();
    this.#arrivals.push(arrival);
    this.wake();
  }

  /** One reading at a time. What has come after it is noticed at the next commit, or when the driver settles down. */
  async #fetchMail(): Promise<void> {
    try {
      if (!(await this.#mailbox.fetch((above) => this.#host.readMail(this, above)))) return;
    } catch (error) {
      this.#trouble = { error };
    }
    this.wake();
  }

  /** A driver whose bodies are in flight also waits for its timers and the next attempts of its steps. */
  #armTimer(dueAt: number | null): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (dueAt === null) return;
    const { runtime, store } = this.#host;
    this.#timer = runtime.setTimer(
      () => {
        // A run that is about to be given up begins nothing; one that goes on looks again after its commit.
        if (this.#over || this.#busy) return;
        this.#bodies.startDue(this.#arrivals);
        this.wake();
      },
      Math.max(0, dueAt - store.now()),
    );
  }

  #finish(end: DriverEnd, reason: () => Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#busy = false;
    this.#armTimer(null);
    if (!this.#submitted) this.#birth?.onUnborn(reason());
    if (this.#bodies.size > 0) this.#bodies.abortAll(reason);
    this.#host.onFinished(this, end, this.#idleUntil);
  }
}

const driving = { state: "driving" } as const;
const leaseLost = (): PerdureError => new PerdureError("lease_lost", "This worker no longer drives the run; another one goes on with it.");
