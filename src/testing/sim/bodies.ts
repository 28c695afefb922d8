import type { ActivityContext, StepContext } from "../../api/context-types.js";
import type { Execution } from "./effect-log.js";
import { bodyStream, type BodyCall, type Host } from "./interpreter.js";
import type { Outsiders } from "./outsiders.js";
import type { VirtualProcess } from "./virtual-process.js";
import type { Witness } from "./witness.js";

/** What the definitions of one process do: bodies take virtual time, tell the witness, and fail as their program says. */
export function createHost(process: VirtualProcess, witness: Witness, outsiders: Outsiders): Host {
  const finish = (call: BodyCall, io: StepContext | ActivityContext, execution: Execution): string => {
    execution.outcome = "failed";
    if (io.signal.aborted && execution.id % 2 === 0) throw io.signal.reason;
    if (io.attempt <= call.fails) throw new Error(`failed at ${call.path}`);
    if (call.later !== null && "completeLater" in io) {
      execution.outcome = "left";
      outsiders.leave({ token: io.token, execution: execution.id, ...call.later });
      return io.completeLater();
    }
    execution.outcome = "succeeded";
    return `x${execution.id}`;
  };

  /** Writes, gives signs of life, and takes its time between them. */
  const work = async (call: BodyCall, io: StepContext | ActivityContext, execution: Execution): Promise<string> => {
    const parts = call.writes + call.beats + 1;
    if (call.writes > 0 && call.resumes) execution.behind = await io.written(bodyStream);
    for (let part = 1; part < parts; part++) {
      if (call.bodyMs > 0) await process.delay(call.bodyMs / parts);
      if (part > call.writes) {
        if ("heartbeat" in io) io.heartbeat(`${execution.id}.${part}`);
        continue;
      }
      const value = `w${execution.id}.${part}`;
      execution.written.push(value);
      await io.write(bodyStream, value);
      execution.acknowledged++;
    }
    if (call.bodyMs > 0) await process.delay(call.bodyMs / parts);
    return finish(call, io, execution);
  };

  return {
    body(call, io) {
      const { kind, runId, path, attempts, seen, once } = call;
      const execution = witness.effects.begin({
        kind,
        runId,
        path,
        attempt: io.attempt,
        attemptsMax: attempts,
        once,
        seen,
        processName: process.name,
        startedAt: witness.nowMs(),
        aborted: () => io.signal.aborted,
      });
      checkTwin(witness, execution);
      if (call.writes + call.beats > 0) {
        return work(call, io, execution).catch((error: unknown) => {
          execution.outcome = "failed";
          throw error;
        });
      }
      return call.bodyMs === 0 ? finish(call, io, execution) : process.delay(call.bodyMs).then(() => finish(call, io, execution));
    },
  };
}

/** A process never executes the same thing twice at once, unless it told the first to stop, or the store gave up an attempt of which it heard nothing. */
function checkTwin({ effects, violate }: Witness, execution: Execution): void {
  const { kind, path, runId, processName, attempt } = execution;
  const twin = effects.executions.find(
    (other) =>
      other !== execution && other.outcome === "open" && other.processName === processName && other.runId === runId && other.path === path,
  );
  if (twin?.aborted() !== false || (kind === "activity" && twin.attempt !== attempt)) return;
  violate(
    "I8",
    `${processName} executes ${kind} ${path} of ${runId} twice at once (attempt ${attempt}, the other ${twin.attempt} since ${Math.round(twin.startedAt)})`,
  );
}
