import type { Logger } from "../api/context-types.js";
import { ambientUse } from "../core/determinism.js";
import type { RunMachine } from "../core/run-machine.js";
import { ambientGuard } from "../platform/ambient-guard.js";
import { bracketing, openBracket } from "../platform/bun-rejections.js";
import { runMarked, type AmbientUse, type LateRejection, type WorkflowMark } from "../platform/code-mark.js";
import { lateRejections } from "../platform/late-rejections.js";

/** What one engine has put up against mistakes in workflow code. The parts that are process-wide are shared with the other engines. */
export interface Guard {
  /** Runs code of a workflow. */
  enter(machine: RunMachine, call: () => void): void;
  /** Brackets turns of these runs: begun after it is called, drained before its answer is. Only where the runtime needs it; elsewhere the marks do. */
  bracket(runs: readonly { readonly machine: RunMachine }[]): () => void;
  /** The run has ended: says what was rejected in it and never handled. */
  ended(machine: RunMachine): void;
  close(): void;
}

export interface GuardOptions {
  /** Notice clocks, randomness, timers and fetch in workflow code? */
  readonly ambient: boolean;
  readonly logger: Logger;
}

const nothing = (): void => {};

export function openGuard(options: GuardOptions): Guard {
  const { ambient, logger } = options;
  const leave = [lateRejections.join(), ...(ambient ? [ambientGuard.join()] : [])];
  const marks = new WeakMap<RunMachine, RunMark>();
  const markOf = (machine: RunMachine): RunMark => {
    let mark = marks.get(machine);
    if (mark === undefined) marks.set(machine, (mark = new RunMark(machine, logger)));
    return mark;
  };
  return {
    enter: (machine, call) => runMarked(markOf(machine), call),
    bracket: (runs) => (bracketing() ? openBracket(runs.map(({ machine }) => markOf(machine))) : nothing),
    ended: (machine) => marks.get(machine)?.end(),
    close() {
      for (const one of leave) one();
    },
  };
}

/** Places in packages that were warned of, in this process. */
const warned = new Set<string>();
const warnedMax = 1000;

class RunMark implements WorkflowMark {
  readonly #machine: RunMachine;
  readonly #logger: Logger;
  #late: LateRejection[] = [];
  #ended = false;

  constructor(machine: RunMachine, logger: Logger) {
    this.#machine = machine;
    this.#logger = logger;
  }

  /**
   * Code of the user's own is wrong here and easily put right, so its run is set aside before it can do harm. Packages may read a clock for their own
   * sake (a logger, a tracer), where it does no harm: they are only warned of, unless it shows outside.
   */
  onAmbientUse(use: AmbientUse): boolean {
    if (use.fromPackage && use.call !== "fetch(…)") {
      this.#warnOnce(use);
      return true;
    }
    this.#machine.freeze(ambientUse(use));
    return !use.effect;
  }

  onLateRejection(rejection: LateRejection): void {
    this.#late.push(rejection);
    if (this.#ended) this.end();
  }

  end(): void {
    this.#ended = true;
    const { name, id } = this.#machine.facts;
    for (const rejection of this.#late) {
      const { reason } = rejection;
      rejection.suspects--;
      if (!rejection.handled && rejection.suspects <= 0)
        this.#logger.warn(`A promise in run ${id} of workflow ${name} was rejected and never awaited: its error is lost.`, {
          workflow: name,
          id,
          error: reason,
        });
    }
    this.#late = [];
  }

  #warnOnce({ call, instead, stack }: AmbientUse): void {
    const place = `${call} ${stack.slice(0, stack.indexOf("\n"))}`;
    if (warned.has(place) || warned.size >= warnedMax) return;
    warned.add(place);
    const { name, id } = this.#machine.facts;
    this.#logger.warn(
      `A package called ${call} in workflow code. If its answer decides what the workflow does, replays will differ: give it ${instead}.`,
      { workflow: name, id, stack },
    );
  }
}
