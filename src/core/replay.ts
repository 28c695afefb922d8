import { eventOf, isTerminal, type EventEnvelope } from "./events.js";
import type { RunMachine } from "./run-machine.js";
import type { TurnState } from "./turn-result.js";

/** A line of history with its payload still encoded: each is decoded in its own turn, so that a long history is not held twice. */
export interface HistoryLine {
  readonly seq: number;
  readonly at: number;
  readonly envelope: EventEnvelope;
  readonly text: string | null;
}

export interface ReplayOptions {
  readonly machine: RunMachine;
  readonly lines: readonly HistoryLine[];
  readonly decode: (line: HistoryLine) => unknown;
  readonly drain: (callback: () => void) => void;
  /** Called between turns now and then; it calls back when the event loop had its share. */
  readonly breathe: (callback: () => void) => void;
}

/** Replays history into a fresh machine, one event a turn, as it was live. Answers where the code stands after the last line. */
export function replayHistory(options: ReplayOptions): Promise<TurnState> {
  const { machine, lines, decode, drain, breathe } = options;
  return new Promise((resolve, reject) => {
    let index = 0;
    const turn = (): void => {
      const line = lines[index];
      if (line === undefined || isTerminal(line.envelope)) return resolve({ state: "waiting" });
      try {
        machine.begin(eventOf(line.envelope, line.at, decode(line)), line.seq, line.envelope.commands);
      } catch (error) {
        return reject(error);
      }
      drain(() => {
        index++;
        const { outcome } = machine.end(index < lines.length);
        if (outcome.state !== "waiting") resolve(outcome);
        else if ((index & 127) === 0) breathe(turn);
        else turn();
      });
    };
    drain(turn);
  });
}
