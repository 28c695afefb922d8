// The person: looks at what waits for an answer, thinks, and answers most of it.
import type { Client, Handle, RunInfo } from "perdure";
import type { Random } from "./random.js";
import { type Review, reviewed } from "./pipeline.js";

/** What the person did about one file. */
export interface Answer {
  readonly run: string;
  /** `ignored`: left to time out. */
  readonly decision: Review["decision"] | "ignored";
  /** When the answer was stored, in ms. */
  readonly sentAt: number | undefined;
}

export interface Reviewer {
  /** Called with every fresh look at the runs: finds out what those at rest wait for, and takes up new questions. */
  notice(runs: readonly RunInfo[]): Promise<void>;
  readonly answers: readonly Answer[];
  /** Resolves when everything that was decided has been sent; rejects if a send failed. */
  settled(): Promise<void>;
}

interface Habits {
  readonly random: Random;
  readonly now: () => number;
  readonly pause: (ms: number) => Promise<unknown>;
}

/** A wait that ends this soon is left alone: an answer could come too late to count, and the proof could not tell why. */
const tooLateMs = 1000;

/** Every fourth question stays on the desk; of the others two of three are approved. */
export function startReviewer(client: Pick<Client, "get">, { random, now, pause }: Habits): Reviewer {
  const asked = new Set<string>();
  /** The length of its history when a run was looked at last. */
  const seen = new Map<string, number>();
  const answers: Answer[] = [];
  const failures: unknown[] = [];
  const sending: Promise<void>[] = [];
  const ignore = (run: string): void => void answers.push({ run, decision: "ignored", sentAt: undefined });

  async function answer(run: string, decision: Review["decision"], thinkMs: number, until: number): Promise<void> {
    await pause(thinkMs);
    if (now() > until - tooLateMs) return ignore(run);
    const handle: Handle<unknown> = client.get(run);
    await handle.send(reviewed, { decision, by: "Robin" }, { key: "review" });
    answers.push({ run, decision, sentAt: now() });
  }

  function take(run: string, until: number): void {
    asked.add(run);
    const decision = random.next() < 2 / 3 ? "approved" : "rejected";
    const thinkMs = random.between(200, 1200);
    if (asked.size % 4 === 0) ignore(run);
    else sending.push(answer(run, decision, thinkMs, until).catch((error: unknown) => void failures.push(error)));
  }

  return {
    answers,
    async notice(runs) {
      for (const { id, status, historyLength } of runs) {
        // A list does not say what a run waits for, and a wait with a time limit is a kind of sleep.
        if ((status !== "waiting" && status !== "sleeping") || seen.get(id) === historyLength) continue;
        seen.set(id, historyLength);
        const { waitingFor } = await client.get(id).describe();
        const question = waitingFor.find(({ kind, name }) => kind === "message" && name === reviewed.name);
        if (question !== undefined && !asked.has(id)) take(id, question.until?.getTime() ?? Number.POSITIVE_INFINITY);
      }
    },
    async settled() {
      await Promise.all(sending);
      if (failures.length > 0) throw failures[0];
    },
  };
}
