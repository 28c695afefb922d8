/**
 * The replay core of one run. It is pure: no clock, no I/O, no randomness of its own. Whoever drives it delivers one event (`begin`), lets the
 * microtasks drain, and collects what the code asked for (`end`). That is one turn:
 *
 *     begin(event) ── settles the one promise that the event belongs to
 *     … drain …    ── the workflow's code runs until it is blocked
 *     end()        ── commands to perform, or the end of the run, or why it cannot go on
 *
 * Exactly one event per turn, live and on replay: that alone makes `Promise.all`, `race` and interleaved chains a function of the history.
 * With `recorded` given, every command is compared at its call with what the history has at that place. A difference freezes the machine: its calls
 * return promises that never settle, and nothing is thrown into user code, which would run its catch blocks.
 */
import { CancelledError, isPerdureError, PerdureError, TimeoutError } from "../errors.js";
import type { Command } from "./commands.js";
import { CommandLog } from "./command-log.js";
import { recordOf } from "./commands.js";
import { compensate, type Compensation } from "./compensation.js";
import { endless, foreignAwait, mismatch, unhandled, type Divergence } from "./determinism.js";
import { DueTimes } from "./due-times.js";
import type { CommandRecord, TurnEvent } from "./events.js";
import type { MachineOptions, RunFacts } from "./machine-options.js";
import { Patches } from "./patches.js";
import type { Pending } from "./pending.js";
import { timeoutOf } from "./timeouts.js";
import { Scope } from "./scope.js";
import { SeededRandom } from "./seeded-random.js";
import { RunContext } from "./run-context.js";
import { noOutput, OutputCollector, type TurnOutput, type TurnResult, type TurnState, type UpdateAnswer } from "./turn-result.js";
import { UpdateHandlers, type UpdateHandler } from "./update-handlers.js";

/** Code that asks so often within one turn for what a cancel refuses does it in a loop that would never let go of the process. */
const refusalsMax = 1000;

const ignore = (): void => {};
const noCommands: readonly Command[] = [];
const noWait = { keys: undefined, otherwise: undefined, onStarted: undefined } as const;
const waiting: TurnState = { state: "waiting" };

export class RunMachine {
  readonly facts: RunFacts;
  readonly random: SeededRandom;
  readonly uuids: SeededRandom;
  /** What the code waits for, in command order. */
  readonly pending = new Map<number, Pending>();
  /** Those among them that have a due time, and the numbers of those that wait for messages: the driver asks for these after every turn. */
  readonly timed = new DueTimes();
  readonly receivers = new Set<number>();
  /** Has the code ever asked for a child? */
  hadChildren = false;
  /** Time of the current event, in ms: what `ctx.now()` answers. */
  nowMs = 0;
  /** Lines of history so far, the current one included. */
  seq = 0;
  readonly #options: MachineOptions;
  readonly #root = new Scope(undefined, false);
  readonly #log = new CommandLog();
  #inTurn = false;
  #withdrawn: Command[] | undefined;
  #cancelled: Command[] | undefined;
  #output: OutputCollector | undefined;
  #outcome: { readonly threw: boolean; readonly value: unknown } | undefined;
  #divergence: Divergence | undefined;
  /** How many operations were refused in this turn. */
  #refusals = 0;
  #cancelError: Error | undefined;
  #continuation: { readonly input: string; readonly version: string | undefined } | undefined;
  #compensations: Compensation[] | undefined;
  #patches: Patches | undefined;
  /** Made when the code registers one: most workflows never do. */
  updates: UpdateHandlers | undefined;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.facts = options.facts;
    this.random = new SeededRandom(`${options.facts.runId}/random`);
    this.uuids = new SeededRandom(`${options.facts.runId}/uuid`);
  }

  /** Is this a turn whose commands are already in the history? */
  get replaying(): boolean {
    return this.#log.replaying;
  }

  /** Has the code been cancelled as a whole? */
  get cancelRequested(): boolean {
    return this.#cancelError !== undefined;
  }

  /** By an order to stop, and not only by a deadline that has passed? */
  get wasToldToStop(): boolean {
    return isPerdureError(this.#cancelError, "cancelled");
  }

  /** The nondeterminism that was noticed outside of a turn, if any: such a run must be parked even though no event is there. */
  get divergence(): Divergence | undefined {
    return this.#divergence;
  }

  /** Has the code returned or thrown? What it accepted before may still be answered. */
  get returned(): boolean {
    return this.#outcome !== undefined;
  }

  /** Asks the validator of an update, outside of any turn; throws what it throws. */
  validate(name: string, value: unknown): void {
    this.#asCode(() => this.updates?.validate(name, value));
  }

  /** Delivers the event of line `seq`. `recorded`: the commands that the history has for this turn, undefined when it is new. */
  begin(event: TurnEvent, seq: number, recorded: readonly CommandRecord[] | undefined): void {
    this.#inTurn = true;
    this.seq = seq;
    this.nowMs = event.at;
    this.#log.begin(recorded);
    this.#withdrawn = undefined;
    this.#cancelled = undefined;
    this.#output = undefined;
    this.#refusals = 0;
    switch (event.kind) {
      case "started":
        return this.#start(event.input);
      case "operation_started":
        return this.#started(event.command);
      case "operation_completed":
        return this.#take(event.command, event.kind)?.resolve(event.value);
      case "operation_failed":
        return this.#rejectPending(this.#take(event.command, event.kind), event.error);
      case "attempt_failed":
        return this.#attemptFailed(event.command, event.attempt, event.retryAt);
      case "timer_fired":
        return this.#timerFired(event.command);
      case "message_received": {
        const pending = this.#take(event.command, event.kind);
        return pending?.resolve(pending.keys === undefined ? event.value : { key: pending.keys.get(event.name), value: event.value });
      }
      case "update_accepted":
        return this.#answer(event.name, event.id, event.value);
      case "cancel_requested":
        return this.#cancelAll(
          new CancelledError(event.reason === undefined ? "The run was cancelled." : `The run was cancelled: ${event.reason}`, {
            details: { reason: event.reason },
          }),
        );
      case "deadline_passed":
        return this.#cancelAll(new TimeoutError("The run took longer than its timeout."));
      default:
        event satisfies never;
    }
  }

  /** Collects the turn after the drain. `more`: another event is at hand, so a run that waits for nothing may still be waiting for it. */
  end(more: boolean): TurnResult {
    if (this.#divergence === undefined) this.#checkTurn(more);
    this.#inTurn = false;
    const { logs, published, chunks, attributes, answers } = this.#output ?? noOutput;
    return {
      commands: this.#log.commands,
      withdrawn: this.#withdrawn ?? noCommands,
      cancelled: this.#cancelled ?? noCommands,
      logs,
      published,
      chunks,
      attributes,
      answers,
      outcome: this.#turnState(),
    };
  }

  /** Asked when there is no event to deliver: why the code can never go on, if so. Freezes it then. */
  stalled(): Divergence | undefined {
    if (this.#divergence === undefined && this.seq > 0) this.#checkStall();
    return this.#divergence;
  }

  /** Freezes the run: from now on its code is left waiting for ever, and the driver parks it. */
  freeze(divergence: Divergence): void {
    if (this.#divergence !== undefined) return;
    this.#divergence = divergence;
    if (!this.#inTurn) this.#options.onFrozen?.();
  }

  // What the context calls. ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The number that the next command will have. */
  nextNumber(): number {
    return this.#log.nextNumber();
  }

  headersFor(kind: "activity" | "child", name: string): Readonly<Record<string, string>> | undefined {
    const { outbound } = this.#options;
    return outbound === undefined ? this.facts.headers : outbound({ kind, name });
  }

  encode(value: unknown, what: string): string {
    return this.#options.encode(value, what);
  }

  /** Enters a command and answers the promise of its outcome. */
  issue<T>(scope: Scope, command: Command, wait?: Partial<Pick<Pending, "keys" | "otherwise" | "onStarted">>): Promise<T> {
    scope.used++;
    if (!this.admits(`called ctx for ${command.kind} "${command.name}"`)) return new Promise<T>(ignore);
    const refusal = scope.closed
      ? new PerdureError(
          "context_misuse",
          `ctx was used for ${command.kind} "${command.name}" after its scope had ended. Await everything that a scope starts inside of it.`,
        )
      : scope.cancelled;
    if (refusal !== undefined) {
      if (++this.#refusals > refusalsMax) {
        this.freeze(endless(command.kind, command.name, refusal, new Error("here").stack));
        return new Promise<T>(ignore);
      }
      const refused = Promise.reject<T>(refusal);
      refused.catch(ignore);
      return refused;
    }
    if (!this.#enter(command)) return new Promise<T>(ignore);
    let resolve!: (value: unknown) => void;
    let reject!: (error: unknown) => void;
    const promise = new Promise<T>((onResolve, onReject) => {
      resolve = onResolve as (value: unknown) => void;
      reject = onReject;
    });
    const { keys, otherwise, onStarted } = wait ?? noWait;
    this.#add({ command, scope, promise, resolve, reject, keys, otherwise, onStarted, attempt: 1, started: false, retryAt: null });
    return promise;
  }

  /** Enters a command that settles no promise: it calls back when its time has come. */
  issueTimer(scope: Scope, command: Command, onFired: () => void): void {
    if (this.admits("opened a scope") && this.#enter(command))
      this.#add({
        command,
        scope,
        promise: undefined,
        resolve: onFired,
        reject: ignore,
        ...noWait,
        attempt: 1,
        started: false,
        retryAt: null,
      });
  }

  /** Forgets an operation whose outcome no longer matters. */
  withdraw(number: number): void {
    const pending = this.#remove(number);
    if (pending !== undefined) (this.#withdrawn ??= []).push(pending.command);
  }

  /** Cancels a scope: first every abort listener fires, then its pending operations reject in command order, all in this drain. */
  cancelScope(scope: Scope, error: Error): void {
    if (scope.closed || scope.cancelled !== undefined || !this.admits("cancelled a scope")) return;
    const reached = scope.cancel(error);
    this.#fireListeners(reached);
    this.#rejectAll(new Set(reached), error);
  }

  /** Ends a scope: what it left behind is cancelled, so that nothing of it runs on unseen. */
  closeScope(scope: Scope): void {
    const family = scope.close();
    this.#rejectAll(family, new CancelledError("The scope that started this operation has ended."));
  }

  /** May the code use ctx now? If not, the run is frozen, or the caller is told that it is inside a step body. */
  admits(did: string): boolean {
    // Also within a turn: a body of this run may be going on in the same drain.
    if (this.#options.insideBody?.() === true) {
      throw new PerdureError(
        "context_misuse",
        "ctx was used inside a step body. A step does plain work and returns; call ctx from the workflow itself, or make the inner part a step of its own.",
      );
    }
    if (this.#continuation !== undefined) {
      throw new PerdureError(
        "context_misuse",
        "ctx was used after ctx.continueAsNew, when the run is about to go on as a new one. Return what continueAsNew gives, and do nothing durable after it.",
      );
    }
    if (this.#inTurn && this.#divergence === undefined) return true;
    if (this.#divergence === undefined && this.#outcome === undefined) this.freeze(foreignAwait(did, new Error(did).stack));
    return false;
  }

  /** Says something to the outside, once the turn is committed; nothing on replay. */
  say<Kind extends keyof TurnOutput>(did: string, kind: Kind, item: TurnOutput[Kind][number]): void {
    if (this.admits(did) && !this.replaying) (this.#output ??= new OutputCollector()).add(kind, item);
  }

  /** Registers what undoes something, should the run fail. */
  onFailure(compensation: Compensation): void {
    if (this.admits("called ctx.compensate")) (this.#compensations ??= []).push(compensation);
  }

  answerUpdates(name: string, handler: UpdateHandler): void {
    if (this.admits("called ctx.on")) (this.updates ??= new UpdateHandlers()).set(name, handler);
  }

  /** When the code returns, another run of the chain begins with this input. */
  continueWith(input: string, version: string | undefined): void {
    if (this.admits("called ctx.continueAsNew")) this.#continuation = { input, version };
  }

  /** Did the run pass this place with its newer code, or does it now? The same answer for the rest of the run. */
  patched(id: string): boolean {
    if (!this.admits("called ctx.patched")) return false;
    return (this.#patches ??= new Patches()).decide(id, () => this.#log.enterPatch(id));
  }

  // Internals. ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #start(input: unknown): void {
    const { run } = this.#options;
    this.#asCode(() => {
      let result: unknown;
      try {
        result = run(new RunContext(this, this.#root), input);
      } catch (error) {
        this.#failed(error);
        return;
      }
      Promise.resolve(result).then(
        (value) => this.#settle(false, value),
        (error: unknown) => this.#failed(error),
      );
    });
  }

  /** Marked as the workflow's own: promises that are made in it stay so. */
  #asCode(call: () => void): void {
    const { enter } = this.#options;
    if (enter === undefined) call();
    else enter(call);
  }

  #failed(error: unknown): void {
    if (this.#compensations === undefined) this.#settle(true, error);
    else void this.#undo(this.#compensations, error);
  }

  async #undo(compensations: readonly Compensation[], error: unknown): Promise<void> {
    await compensate(new RunContext(this, new Scope(this.#root, true)), compensations);
    this.#settle(true, error);
  }

  #started(number: number): void {
    const pending = this.pending.get(number);
    if (pending === undefined) return this.#unexpected(number, "operation_started");
    pending.started = true;
    pending.onStarted?.();
  }

  #answer(name: string, id: string, value: unknown): void {
    this.#asCode(() => {
      const answer = this.updates?.answer(name, id, value, this.#options);
      if (answer === undefined) this.freeze(unhandled(name, this.seq));
      else void answer.then((settled) => this.#answered(settled));
    });
  }

  #answered(answer: UpdateAnswer): void {
    if (!this.#inTurn) return this.freeze(foreignAwait("answered an update", undefined));
    if (this.updates !== undefined) this.updates.busy--;
    if (this.replaying || this.#divergence !== undefined) return;
    (this.#output ??= new OutputCollector()).add("answers", answer);
  }

  #fireListeners(scopes: readonly Scope[]): void {
    // Listeners are called in the context of whoever aborts, which is not the workflow's when an event brings it about.
    this.#asCode(() => {
      for (const scope of scopes) scope.abort();
    });
  }

  #settle(threw: boolean, value: unknown): void {
    if (!this.#inTurn) this.freeze(foreignAwait(threw ? "threw" : "returned", threw && value instanceof Error ? value.stack : undefined));
    else if (this.#divergence === undefined) this.#outcome = { threw, value };
  }

  /** Compares a command with the history, then takes its number. */
  #enter(command: Command): boolean {
    if (this.#log.enter(command)) {
      if (command.kind === "child") this.hadChildren = true;
      return true;
    }
    const { recorded } = this.#log;
    this.freeze(mismatch({ number: command.number, seq: this.seq, recorded, actual: recordOf(command), stack: new Error("here").stack }));
    return false;
  }

  #take(number: number, kind: TurnEvent["kind"]): Pending | undefined {
    const pending = this.#remove(number);
    if (pending === undefined) this.#unexpected(number, kind);
    return pending;
  }

  #add(pending: Pending): void {
    const { number, kind, dueAt } = pending.command;
    this.pending.set(number, pending);
    pending.scope.pending++;
    if (dueAt !== null) this.timed.add(number, dueAt);
    if (kind === "receive") this.receivers.add(number);
  }

  #remove(number: number): Pending | undefined {
    const pending = this.pending.get(number);
    if (pending === undefined) return undefined;
    this.pending.delete(number);
    pending.scope.pending--;
    this.timed.remove(number);
    this.receivers.delete(number);
    return pending;
  }

  #unexpected(number: number, kind: TurnEvent["kind"]): void {
    if (!this.replaying) return;
    this.freeze(mismatch({ number, seq: this.seq, recorded: ["step", `(${kind})`], actual: undefined, stack: undefined }));
  }

  #rejectPending(pending: Pending | undefined, error: unknown): void {
    if (pending === undefined) return;
    // A durable promise that nobody awaits must not end the process; those that are awaited tell their awaiters all the same.
    pending.promise?.catch(ignore);
    pending.reject(error);
  }

  #attemptFailed(number: number, attempt: number, retryAt: number): void {
    const pending = this.pending.get(number);
    if (pending === undefined) return this.#unexpected(number, "attempt_failed");
    pending.attempt = attempt + 1;
    pending.started = false;
    pending.retryAt = retryAt;
  }

  #timerFired(number: number): void {
    const pending = this.#take(number, "timer_fired");
    if (pending === undefined) return;
    const { command, otherwise } = pending;
    const error = otherwise === undefined ? timeoutOf(command) : undefined;
    // Somebody may be at work on it still.
    if (command.kind === "activity") (this.#withdrawn ??= []).push(command);
    if (error === undefined) pending.resolve(otherwise?.value);
    else this.#rejectPending(pending, error);
  }

  #cancelAll(error: Error): void {
    // An order to stop that follows a deadline reaches nothing that the deadline has not, but the run must not go on as another one.
    this.#cancelError = isPerdureError(error, "cancelled") ? error : (this.#cancelError ?? error);
    const reached = this.#root.cancel(error);
    this.#fireListeners(reached);
    this.#rejectAll(new Set(reached), error);
  }

  #rejectAll(scopes: ReadonlySet<Scope>, error: Error): void {
    // Most scopes end with nothing left: looking through all that the run waits for would cost n² for n of them side by side.
    let left = 0;
    for (const scope of scopes) left += scope.pending;
    if (left === 0) return;
    for (const [number, pending] of [...this.pending]) {
      if (!scopes.has(pending.scope)) continue;
      const { command } = pending;
      // What a transaction did can be known from its database only.
      if (command.kind === "transaction" || (command.kind === "activity" && command.onCancel === "wait")) {
        (this.#cancelled ??= []).push(command);
        continue;
      }
      this.withdraw(number);
      this.#rejectPending(pending, error);
    }
  }

  #checkTurn(more: boolean): void {
    const recorded = this.#log.unasked();
    if (recorded !== undefined) {
      this.freeze(mismatch({ number: this.nextNumber(), seq: this.seq, recorded, actual: undefined, stack: undefined }));
    } else if (!more) this.#checkStall();
  }

  #checkStall(): void {
    if (this.#outcome === undefined && this.pending.size === 0 && !this.#root.listened && this.updates === undefined)
      this.freeze(foreignAwait("went on waiting", undefined));
  }

  #turnState(): TurnState {
    if (this.#divergence !== undefined) return { state: "diverged", divergence: this.#divergence };
    if (this.#outcome === undefined) return waiting;
    const { threw, value } = this.#outcome;
    // Any other error is a failure, also after a cancel.
    if (threw) return { state: this.wasToldToStop && isPerdureError(value, "cancelled") ? "cancelled" : "failed", error: value };
    // What was accepted is answered first.
    if (this.updates !== undefined && this.updates.busy > 0) return waiting;
    if (this.#continuation !== undefined)
      return this.wasToldToStop ? { state: "cancelled", error: this.#cancelError } : { state: "continued", ...this.#continuation };
    try {
      return { state: "completed", result: this.#options.encode(value, `the result of workflow "${this.facts.name}"`) };
    } catch (error) {
      return { state: "failed", error };
    }
  }
}
