import type { Client, Handle } from "../../api/client-types.js";
import { workflowRef } from "../../api/define.js";
import type { Workflow } from "../../api/definition-types.js";
import { isPerdureError } from "../../errors.js";
import { messages, workflowName } from "./interpreter.js";
import type { Prng } from "./prng.js";
import { drawProgram, messageCount, type Program } from "./program.js";
import type { VirtualProcess } from "./virtual-process.js";
import type { ClientCall, Witness } from "./witness.js";

const ref = workflowRef<Workflow<Program, string>>(workflowName);

/** What a client does next, after waiting. */
export type ClientOp = { readonly waitMs: number; readonly workflowId: string } & (
  | {
      readonly type: "start";
      readonly program: Program;
      readonly delayMs: number;
      readonly timeoutMs: number | null;
      readonly withMessages: readonly number[];
    }
  | { readonly type: "send"; readonly message: number; readonly key: string | null }
  | { readonly type: "cancel" | "describe" | "list" }
  | { readonly type: "result"; readonly timeoutMs: number }
);

/** A client's script. It goes on in the next process when one dies: an operation that can be repeated safely is, any other is left as it was. */
export interface ClientScript {
  readonly client: string;
  readonly ops: readonly ClientOp[];
  next: number;
  /** Was the operation at `next` begun by a process that died? */
  begun: boolean;
}

export interface Workload {
  readonly programs: ReadonlyMap<string, Program>;
  readonly scripts: readonly ClientScript[];
}

export function drawWorkload(prng: Prng, clients: number): Workload {
  const programs = new Map(
    Array.from({ length: prng.int(1, 4) }, (_, index) => [`run-${index}`, drawProgram(prng.fork(`program ${index}`))] as const),
  );
  const ids = [...programs.keys()];
  const scripts = Array.from({ length: clients }, (_, index): ClientScript => {
    const ops: ClientOp[] = [];
    for (const [workflowId, program] of programs) {
      // Every run is started by somebody, some by several.
      const starts = Number(Number(workflowId.slice(4)) % clients === index) + Number(prng.chance(0.25));
      for (let start = 0; start < starts; start++) {
        const withMessages = Array.from({ length: prng.chance(0.2) ? prng.int(1, 2) : 0 }, () => prng.int(0, messageCount - 1));
        ops.push({
          type: "start",
          waitMs: drawWait(prng),
          workflowId,
          program,
          delayMs: prng.chance(0.1) ? prng.int(1, 2000) : 0,
          timeoutMs: prng.chance(0.1) ? prng.pick([500, 3000, 9000]) : null,
          withMessages,
        });
      }
      for (let more = prng.int(0, 5); more > 0; more--)
        ops.splice(prng.chance(0.1) ? 0 : prng.int(Math.min(1, ops.length), ops.length), 0, drawOp(prng, prng.pick(ids)));
    }
    return { client: `c${index}`, ops, next: 0, begun: false };
  });
  return { programs, scripts };
}

const drawWait = (prng: Prng): number => prng.pick([0, 0, 1, 10, 200, 1500]);

function drawOp(prng: Prng, workflowId: string): ClientOp {
  const common = { waitMs: drawWait(prng), workflowId };
  switch (prng.weighted([8, 1, 1, 0.5, 3])) {
    case 0:
      return { ...common, type: "send", message: prng.int(0, messageCount - 1), key: prng.chance(0.5) ? `k${prng.int(0, 3)}` : null };
    case 1:
      return { ...common, type: "cancel" };
    case 2:
      return { ...common, type: "describe" };
    case 3:
      return { ...common, type: "list" };
    default:
      return { ...common, type: "result", timeoutMs: prng.pick([10, 1000, 20_000]) };
  }
}

const repeatable = (op: ClientOp): boolean => op.type !== "send" || op.key !== null;

/** Executes the rest of a script. Rejects never: what goes wrong is in the witness's log. */
export async function runScript(client: Client, process: VirtualProcess, script: ClientScript, witness: Witness): Promise<void> {
  for (let op = script.ops[script.next]; op !== undefined; op = script.ops[script.next]) {
    if (!script.begun || repeatable(op)) {
      await process.delay(op.waitMs);
      script.begun = true;
      const done = perform(client, op, { client: script.client, number: script.next }, witness);
      // An engine that is closing takes nothing more: the next process goes on from here.
      if (op.type !== "result" && (await done) === "closed") return;
    }
    script.next++;
    script.begun = false;
  }
}

async function perform(
  client: Client,
  op: ClientOp,
  by: { readonly client: string; readonly number: number },
  witness: Witness,
): Promise<string | null> {
  const call: ClientCall = {
    ...by,
    type: op.type,
    workflowId: op.workflowId,
    value: op.type === "send" ? `<${by.client}.${by.number}>` : null,
    key: op.type === "send" ? op.key : null,
    calledAt: witness.nowMs(),
    outcome: "open",
    returnedAt: null,
    code: null,
    answer: null,
  };
  witness.calls.push(call);
  try {
    call.answer = await answerOf(client, op, call);
    call.outcome = "ok";
  } catch (error) {
    call.outcome = "error";
    call.code = isPerdureError(error) ? error.code : error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    if (isPerdureError(error, "run_failed")) call.answer = error.cause instanceof Error ? error.cause.message : String(error.cause);
  }
  call.returnedAt = witness.nowMs();
  return call.code;
}

async function answerOf(client: Client, op: ClientOp, call: ClientCall): Promise<string | null> {
  const handle: Handle<string> = client.get(ref, op.workflowId);
  switch (op.type) {
    case "start": {
      const send = op.withMessages.map((message, index) =>
        (messages[message] as (typeof messages)[number]).of(`<${call.client}.${call.number}.${index}>`),
      );
      const delay = op.delayMs > 0 ? op.delayMs : undefined;
      const started = await client.start(ref, op.program, { id: op.workflowId, send, delay, timeout: op.timeoutMs ?? undefined });
      return (await started.describe()).runId;
    }
    case "send":
      await handle.send(messages[op.message] as (typeof messages)[number], call.value ?? "", op.key === null ? {} : { key: op.key });
      return null;
    case "cancel":
      await handle.cancel("asked to");
      return null;
    case "describe": {
      const info = await handle.describe();
      return `${info.runId} ${info.status}`;
    }
    case "list": {
      const ids: string[] = [];
      for await (const info of client.list()) ids.push(info.id);
      return ids.join(" ");
    }
    case "result": {
      const result = await handle.result({ timeout: op.timeoutMs, otherwise: undefined });
      return result ?? null;
    }
    default:
      return op satisfies never;
  }
}
