import type { Client } from "../../api/client-types.js";
import { activityRef } from "../../api/define.js";
import type { Activity } from "../../api/definition-types.js";
import { isPerdureError } from "../../errors.js";
import { activityName, type BodyCall } from "./interpreter.js";
import type { Actor, Timeline } from "./timeline.js";
import type { VirtualProcess } from "./virtual-process.js";
import type { Witness } from "./witness.js";

export interface Order {
  readonly token: string;
  readonly execution: number;
  readonly afterMs: number;
  readonly fails: boolean;
}

export interface OutsidersOptions {
  readonly timeline: Timeline;
  readonly actor: Actor;
  readonly witness: Witness;
  /** A process that is up now, and its client. */
  readonly anybody: () => { readonly client: Client; readonly process: VirtualProcess } | undefined;
}

const ref = activityRef<Activity<BodyCall, string>>(activityName);
const againMs = 700;
const patienceMs = 4000;

/** Those who finish activities by their token, through whichever process is up; they do not give up before they are answered. */
export class Outsiders {
  readonly #options: OutsidersOptions;

  constructor(options: OutsidersOptions) {
    this.#options = options;
  }

  leave(order: Order): void {
    this.#in(order.afterMs, () => this.#finish(order, 1));
    // Some are told twice, and come one after the other or at once.
    if (order.execution % 4 === 0) this.#in(order.afterMs + (order.execution % 8), () => this.#finish(order, 100));
  }

  #finish(order: Order, attempt: number): void {
    const { anybody, witness } = this.#options;
    const chosen = anybody();
    if (chosen === undefined) return this.#in(againMs, () => this.#finish(order, attempt));
    const { client, process } = chosen;
    const again = (): void => this.#in(againMs, () => this.#finish(order, attempt + 1));
    const value = `t${order.execution}.${attempt}`;
    const finish = { value, fails: order.fails, execution: order.execution, outcome: "open" as "open" | "ok" | "refused", atMs: 0 };
    witness.finishes.push(finish);
    const settle = (outcome: "ok" | "refused"): void => {
      finish.outcome = outcome;
      finish.atMs = witness.nowMs();
    };
    const call = order.fails ? client.fail(order.token, new Error(value)) : client.complete(ref, order.token, value);
    call.then(
      () => settle("ok"),
      (error: unknown) => {
        if (isPerdureError(error, "not_found")) settle("refused");
        else if (!isPerdureError(error, "outcome_unknown")) again();
      },
    );
    // A process that has died answers nobody.
    this.#in(patienceMs, () => {
      if (finish.outcome === "open" && process.actor.state === "dead") again();
    });
  }

  #in(delayMs: number, run: () => void): void {
    const { timeline, actor } = this.#options;
    timeline.schedule(actor, "outsider", delayMs, run);
  }
}
