import { hasBody, type BodyCommand, type Command, type TransactionCommand } from "../core/commands.js";
import { DueTimes } from "../core/due-times.js";
import type { Pending } from "../core/pending.js";
import type { RunMachine } from "../core/run-machine.js";
import { CancelledError, PerdureError } from "../errors.js";
import type { DriverHost } from "./driver-host.js";
import { encodeOutcome } from "./encode-outcome.js";
import type { Arrival, Mail } from "./next-event.js";
import { payloadFields } from "./payload-fields.js";
import type { StreamWriter } from "./stream-writer.js";
import { Body, type BodyIo, type BodyOutcome } from "./step-runner.js";
import type { TransactionResult } from "./transactions.js";

/**
 * What the commands of one run have this process do, once their turns are committed: the bodies that are in flight here, and the times at which the next
 * attempts of others begin.
 */
export class RunBodies {
  /** When the next attempt of a step begins, in ms, by command number. */
  retryTimes = new DueTimes();
  /** Has anything that the code waits for not been begun, because the worker is closing? */
  hasWithheld = false;
  readonly #host: DriverHost;
  readonly #machine: RunMachine;
  readonly #streamsOf: (command: number) => StreamWriter;
  #bodies = new Map<number, Body>();

  constructor(host: DriverHost, machine: RunMachine) {
    this.#host = host;
    this.#machine = machine;
    this.#streamsOf = (command) => host.services.streamsOf(machine.facts, command);
  }

  /** How many are in flight. */
  get size(): number {
    return this.#bodies.size;
  }

  /**
   * Starts every pending body that is not in flight, not waiting for its next attempt, and whose outcome is not in the mail: after a claim, when nobody
   * else runs them.
   */
  startPending(arrivals: Arrival[], mail: readonly Mail[]): void {
    const now = this.#host.store.now();
    for (const [number, pending] of this.#machine.pending) {
      const { command, retryAt } = pending;
      if (!hasBody(command) || this.#bodies.has(number) || arrivals.some((arrival) => arrival.command === number)) continue;
      // Its statements would only be rolled back.
      if (command.kind === "transaction" && mail.some(({ record }) => record.command === number)) continue;
      // A child that is stored goes on by itself.
      if (command.kind === "child" && pending.started) continue;
      if (retryAt !== null && retryAt > now && !this.#isWithdrawn(pending)) this.retryTimes.add(number, retryAt);
      else this.#startAgain(command, pending, arrivals);
    }
  }

  /** An at-most-once attempt that had begun, and of which nobody knows any more, is not repeated: it fails. */
  #startAgain(command: BodyCommand, { started }: Pending, arrivals: Arrival[]): void {
    if (command.kind === "step" && command.atMostOnce && started)
      this.#run(command, () => Promise.reject(unknownOutcome(command.name, lostProcess)));
    else this.start(command, arrivals);
  }

  /** Another process may have made these attempts; what is pending after a claim tells. */
  forgetRetries(): void {
    this.retryTimes = new DueTimes();
  }

  /** Starts bodies after the commit that asks for them. A worker that is closing begins nothing more: only what is announced, which is to have begun. */
  startAll(commands: readonly BodyCommand[], arrivals: Arrival[]): void {
    const { draining } = this.#host;
    for (const command of commands) {
      if (draining && this.#machine.pending.get(command.number)?.started !== true) this.hasWithheld = true;
      else this.start(command, arrivals);
    }
    if (!draining) this.startDue(arrivals);
  }

  /** Starts the attempts whose time has come. */
  startDue(arrivals: Arrival[]): void {
    const now = this.#host.store.now();
    for (let next = this.retryTimes.first(); next !== undefined && next.dueAt <= now; next = this.retryTimes.first()) {
      this.retryTimes.remove(next.number);
      const command = this.#machine.pending.get(next.number)?.command;
      if (command !== undefined && hasBody(command)) this.start(command, arrivals);
    }
  }

  /** Starts a body. One that must not be repeated is announced first, and started when that is recorded. */
  start(asked: BodyCommand, arrivals: Arrival[]): void {
    const pending = this.#machine.pending.get(asked.number);
    if (pending === undefined) return;
    if (asked.kind === "step" && asked.atMostOnce && !pending.started) {
      arrivals.push({ kind: "started", command: asked.number, attempt: pending.attempt });
      return;
    }
    const command = this.#host.services.substitute?.(this.#machine.facts, asked) ?? asked;
    // As it is, where nobody wants to be around it: this is done for every step.
    const isPlain = command.kind === "step" && this.#host.services.interceptors.aroundSteps === undefined;
    this.#run(command, isPlain ? command.run : (io) => this.#perform(command, io));
  }

  /** Does the code wait for it no more, so that it is to be ended one way or the other? */
  #isWithdrawn({ command, scope }: Pending): boolean {
    return command.kind === "transaction" && (scope.cancelled !== undefined || scope.closed);
  }

  #perform(command: BodyCommand, io: BodyIo): unknown {
    const { services } = this.#host;
    const { facts } = this.#machine;
    switch (command.kind) {
      case "step":
        return services.interceptors.aroundSteps?.(facts, command.name, io, command.run) ?? command.run(io);
      case "activity":
        return services.runLocally(facts, command, io);
      case "transaction":
        return this.#performTransaction(command, io);
      case "child":
        return services.outgoing.startChild(facts, command);
      case "send":
        return services.outgoing.send(facts, command);
      case "cancel_run":
        return services.outgoing.cancel(facts, command);
      default:
        return command satisfies never;
    }
  }

  #performTransaction(command: TransactionCommand, { attempt, signal }: BodyIo): Promise<TransactionResult> {
    const { services } = this.#host;
    const { facts, pending } = this.#machine;
    const isWithdrawn = (): boolean => {
      const own = pending.get(command.number);
      return own !== undefined && this.#isWithdrawn(own);
    };
    return services.transactions.perform({ facts, command, attempt, signal, isWithdrawn });
  }

  #run(command: BodyCommand, run: (io: BodyIo) => unknown): void {
    const { facts, pending } = this.#machine;
    const { number } = command;
    const own = pending.get(number);
    if (own === undefined) return;
    const { attempt } = own;
    this.retryTimes.remove(number);
    const host = this.#host;
    const body: Body = new Body({
      runtime: host.runtime,
      attempt,
      idempotencyKey: `${facts.runId}/${number}`,
      timeoutMs: "timeoutMs" in command ? command.timeoutMs : null,
      // A body that goes on after its time may have its effect yet: that is no failure to try again.
      failureOf: command.kind === "step" && command.atMostOnce ? (timeout) => unknownOutcome(command.name, tooSlow, timeout) : undefined,
      decidesItself: command.kind === "transaction",
      what: whatIs(command),
      command: number,
      streamsOf: this.#streamsOf,
      run,
      onDone: (outcome) => this.#done(command, attempt, body, outcome),
    });
    this.#bodies.set(number, body);
    if (this.#isWithdrawn(own)) body.abort(reasonOf(own));
    body.start();
  }

  /** By way of the host: the driver that started the body may have been replaced meanwhile. */
  #done(command: BodyCommand, attempt: number, body: Body, outcome: BodyOutcome): void {
    const host = this.#host;
    const { facts } = this.#machine;
    const { number } = command;
    if (outcome.ok && command.kind === "child") return host.arrive(facts.runId, body, { kind: "started", command: number, attempt });
    if (outcome.ok && command.kind === "transaction") {
      const result = outcome.value as TransactionResult;
      const common = { command: number, attempt };
      return host.arrive(
        facts.runId,
        body,
        result === null ? { kind: "delivered", ...common } : { kind: "settled", ...common, isLast: true, ...result },
      );
    }
    encodeOutcome({
      codec: host.codec,
      outcome,
      what: `the result of ${whatIs(command)}`,
      context: { workflowId: facts.id, field: payloadFields.operation(number) },
      done: ({ text, payload, failure, unsealed }) =>
        host.arrive(facts.runId, body, { kind: "settled", command: number, attempt, isLast: false, text, payload, failure, unsealed }),
    });
  }

  /** Forgets a body that has given its outcome; false if nobody waits for it any more: it may be one of an earlier claim, whose successor is in flight. */
  done(number: number, body: Body): boolean {
    return this.#bodies.get(number) === body && this.#bodies.delete(number);
  }

  abort(number: number, reason: () => Error): void {
    this.retryTimes.remove(number);
    const body = this.#bodies.get(number);
    if (body !== undefined && this.#bodies.delete(number)) body.abort(reason());
  }

  /** Tells a body to stop, and goes on waiting for what it makes of it. */
  ask(number: number, reason: Error): void {
    const pending = this.#machine.pending.get(number);
    const body = this.#bodies.get(number);
    if (body !== undefined) body.ask(pending !== undefined && this.#isWithdrawn(pending) ? reasonOf(pending) : reason);
    // Between two attempts: no need to wait for the next.
    else if (pending !== undefined && this.retryTimes.has(number)) this.retryTimes.add(number, 0);
  }

  abortAll(reason: () => Error): void {
    for (const number of [...this.#bodies.keys()]) this.abort(number, reason);
  }

  /** Gives the bodies in flight away, to be taken over with `inherit`. */
  handOver(): ReadonlyMap<number, Body> {
    const bodies = this.#bodies;
    this.#bodies = new Map();
    return bodies;
  }

  inherit(bodies: ReadonlyMap<number, Body>): void {
    for (const [number, body] of bodies) this.#bodies.set(number, body);
  }
}

function whatIs({ kind, name }: Command): string {
  return kind === "child" ? `the start of child workflow "${name}"` : kind === "send" ? `sending "${name}"` : `${kind} "${name}"`;
}

const reasonOf = ({ scope }: Pending): Error => scope.cancelled ?? new CancelledError("The scope that started this operation has ended.");

const lostProcess = "its process died, or lost the run";
const tooSlow = "it took longer than its timeout";

const unknownOutcome = (name: string, why: string, cause?: Error): PerdureError =>
  new PerdureError(
    "outcome_unknown",
    `An attempt of step "${name}" was begun and never reported: ${why}. It may or may not have taken effect, and it may run at most once.`,
    cause === undefined ? {} : { cause },
  );
