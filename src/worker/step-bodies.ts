import type { StepCommand } from "../core/commands.js";
import { DueTimes } from "../core/due-times.js";
import type { RunMachine } from "../core/run-machine.js";
import type { DriverHost } from "./driver-host.js";
import { encodeOutcome } from "./encode-outcome.js";
import type { Arrival } from "./next-event.js";
import { payloadFields } from "./payload-fields.js";
import { Body } from "./step-runner.js";

/** The step bodies of one run that are in flight here, and the times at which the next attempts of others begin. */
export class StepBodies {
  /** When the next attempt of a step begins, in ms, by command number. */
  retryTimes = new DueTimes();
  readonly #host: DriverHost;
  readonly #machine: RunMachine;
  #bodies = new Map<number, Body>();

  constructor(host: DriverHost, machine: RunMachine) {
    this.#host = host;
    this.#machine = machine;
  }

  /** How many are in flight. */
  get size(): number {
    return this.#bodies.size;
  }

  /** Starts every pending step that is not in flight and not waiting for its next attempt: after a claim, when nobody else runs them. */
  startPending(arrivals: readonly Arrival[]): void {
    const now = this.#host.store.now();
    for (const [number, { command, retryAt }] of this.#machine.pending) {
      if (command.kind !== "step" || this.#bodies.has(number) || arrivals.some((arrival) => arrival.command === number)) continue;
      if (retryAt !== null && retryAt > now) this.retryTimes.add(number, retryAt);
      else this.start(command);
    }
  }

  /** Another process may have made these attempts; what is pending after a claim tells. */
  forgetRetries(): void {
    this.retryTimes = new DueTimes();
  }

  /** Starts the attempts whose time has come. */
  startDue(): void {
    const now = this.#host.store.now();
    for (let next = this.retryTimes.first(); next !== undefined && next.dueAt <= now; next = this.retryTimes.first()) {
      this.retryTimes.remove(next.number);
      const command = this.#machine.pending.get(next.number)?.command;
      if (command?.kind === "step") this.start(command);
    }
  }

  start(command: StepCommand): void {
    const { facts, pending } = this.#machine;
    const { number, name } = command;
    const attempt = pending.get(number)?.attempt;
    if (attempt === undefined) return;
    this.retryTimes.remove(number);
    const host = this.#host;
    const body: Body = new Body({
      runtime: host.runtime,
      attempt,
      idempotencyKey: `${facts.runId}/${number}`,
      timeoutMs: command.timeoutMs,
      what: `step "${name}"`,
      run: command.run,
      onDone: (outcome) =>
        encodeOutcome({
          codec: host.codec,
          outcome,
          what: `the result of step "${name}"`,
          context: { workflowId: facts.id, field: payloadFields.operation(number) },
          // By way of the host: the driver that started it may have been replaced meanwhile.
          done: ({ text, payload, failure, unsealed }) =>
            host.arrive(facts.runId, body, { command: number, attempt, text, payload, failure, unsealed }),
        }),
    });
    this.#bodies.set(number, body);
    body.start();
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
