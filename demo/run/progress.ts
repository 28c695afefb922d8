import type { RunInfo, RunStatus } from "perdure";

/** What a line of progress shows. */
export interface Progress {
  readonly total: number;
  readonly started: number;
  readonly runs: readonly RunInfo[];
  readonly kills: number;
  readonly elapsedMs: number;
}

const words: Readonly<Partial<Record<RunStatus, string>>> = {
  pending: "pending",
  running: "running",
  waiting: "waiting",
  sleeping: "asleep",
  parked: "parked",
  failed: "failed",
};

/** One line: a bar, how many are done, what the others do, how many kills. */
export function progressLine({ total, runs, kills, elapsedMs }: Progress, width = 30): string {
  const done = runs.filter(({ status }) => status === "completed").length;
  const filled = Math.round((width * done) / Math.max(1, total));
  const others = Object.entries(words).flatMap(([status, word]) => {
    const count = runs.filter((run) => run.status === status).length;
    return count === 0 ? [] : [`${count} ${word}`];
  });
  const bar = "█".repeat(filled) + "░".repeat(width - filled);
  return [`${bar} ${done}/${total} files`, ...others, `${kills} kills`, `${(elapsedMs / 1000).toFixed(0)} s`].join(" · ");
}

/** Where progress goes: redrawn in place on a terminal, a line now and then elsewhere. */
export interface ProgressView {
  update(progress: Progress): void;
  /** A line that stays. */
  say(line: string): void;
  end(): void;
}

interface Output {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

export function openProgress(output: Output, everyMs: number): ProgressView {
  const live = output.isTTY === true;
  const columns = output.columns ?? 120;
  let last = Number.NEGATIVE_INFINITY;
  let line = "";
  const clear = "\r\u001B[2K";
  return {
    update(progress) {
      // The words need some 70 columns; the bar takes what is left.
      line = progressLine(progress, live ? Math.max(8, Math.min(30, columns - 70)) : 30);
      if (live) output.write(`${clear}${line.slice(0, columns - 1)}`);
      else if (progress.elapsedMs - last >= everyMs) {
        last = progress.elapsedMs;
        output.write(`${line}\n`);
      }
    },
    say: (text) => void output.write(live ? `${clear}${text}\n${line}` : `${text}\n`),
    end: () => void (live && output.write(clear)),
  };
}
