import type { StartOptions } from "../../api/client-types.js";
import type { ClientOp, ClientScript } from "./client-script.js";
import { drawProgram } from "./draw-program.js";
import type { Prng } from "./prng.js";
import { messageCount, nameCount, updateCount, type Program } from "./program.js";

export interface Workload {
  readonly programs: ReadonlyMap<string, Program>;
  readonly scripts: readonly ClientScript[];
}

export function drawWorkload(prng: Prng, clients: number): Workload {
  const programs = new Map(
    Array.from({ length: prng.int(1, 4) }, (_, index) => [`run-${index}`, drawProgram(prng.fork(`program ${index}`))] as const),
  );
  const ids = [...programs.keys()];
  const policies = drawPolicies(prng);
  const scripts = Array.from({ length: clients }, (_, index): ClientScript => {
    const ops: ClientOp[] = [];
    for (const [workflowId, program] of programs) {
      // Every run is started by somebody, some by several.
      const starts = Number(Number(workflowId.slice(4)) % clients === index) + Number(prng.chance(policies === null ? 0.25 : 0.6));
      for (let start = 0; start < starts; start++) ops.push(drawStart(prng, workflowId, program, policies?.()));
      for (let more = prng.int(0, 5); more > 0; more--)
        ops.splice(prng.chance(0.1) ? 0 : prng.int(Math.min(1, ops.length), ops.length), 0, drawOp(prng, prng.pick(ids)));
    }
    return { client: `c${index}`, ops, next: 0, begun: false };
  });
  return { programs, scripts };
}

/** In most schedules an id is never used again. */
function drawPolicies(prng: Prng): (() => Pick<StartOptions, "reuse" | "onExisting">) | null {
  if (prng.chance(0.7)) return null;
  return () => ({
    reuse: prng.pick(["never", "after-failure", "always"] as const),
    onExisting: prng.pick(["use", "use", "fail", "terminate"] as const),
  });
}

function drawStart(
  prng: Prng,
  workflowId: string,
  program: Program,
  policies: Pick<StartOptions, "reuse" | "onExisting"> = {},
): Extract<ClientOp, { readonly type: "start" }> {
  return {
    type: "start",
    waitMs: drawWait(prng),
    workflowId,
    program,
    delayMs: prng.chance(0.1) ? prng.int(1, 2000) : 0,
    timeoutMs: prng.chance(0.1) ? prng.pick([500, 3000, 9000]) : null,
    withMessages: Array.from({ length: prng.chance(0.2) ? prng.int(1, 2) : 0 }, () => prng.int(0, messageCount - 1)),
    attempts: prng.chance(0.15) ? prng.int(2, 3) : 1,
    ...policies,
  };
}

const drawWait = (prng: Prng): number => prng.pick([0, 0, 1, 10, 200, 1500]);

function drawOp(prng: Prng, workflowId: string): ClientOp {
  const common = { waitMs: drawWait(prng), workflowId };
  switch (prng.weighted([8, 1, 1, 0.5, 3, 4, 1, 1, 0.4])) {
    case 0:
      return { ...common, type: "send", message: prng.int(0, messageCount - 1), key: drawKey(prng) };
    case 1:
      return { ...common, type: "cancel" };
    case 2:
      return { ...common, type: "describe" };
    case 3:
      return { ...common, type: "list" };
    case 4:
      return { ...common, type: "result", timeoutMs: prng.pick([10, 1000, 20_000]) };
    case 5:
      return { ...common, type: "update", update: prng.int(0, updateCount - 1), key: prng.chance(0.3) ? `u${prng.int(0, 3)}` : null };
    case 6:
      return { ...common, type: "read", name: prng.int(0, nameCount - 1) };
    case 7:
      return {
        ...common,
        type: "stream",
        name: prng.int(0, nameCount),
        from: prng.pick([0, 0, 2]),
        timeoutMs: prng.pick([10, 2000, 20_000]),
      };
    default:
      return { ...common, type: "terminate" };
  }
}

const drawKey = (prng: Prng): string | null => (prng.chance(0.5) ? `k${prng.int(0, 3)}` : null);
