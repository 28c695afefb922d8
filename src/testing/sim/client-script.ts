import type { Client, Handle, StartOptions } from "../../api/client-types.js";
import { isPerdureError } from "../../errors.js";
import { at, messages, programRef, states, streams, updates } from "./interpreter.js";
import type { Program } from "./program.js";
import type { VirtualProcess } from "./virtual-process.js";
import type { ClientCall, Witness } from "./witness.js";

/** What a client does next, after waiting. */
export type ClientOp = { readonly waitMs: number; readonly workflowId: string } & (
  | ({
      readonly type: "start";
      readonly program: Program;
      readonly delayMs: number;
      readonly timeoutMs: number | null;
      readonly withMessages: readonly number[];
      /** How often the run is begun at most, should it fail. */
      readonly attempts: number;
    } & Pick<StartOptions, "reuse" | "onExisting">)
  | { readonly type: "send"; readonly message: number; readonly key: string | null }
  | { readonly type: "cancel" | "terminate" | "describe" | "list" }
  | { readonly type: "result"; readonly timeoutMs: number }
  | { readonly type: "update"; readonly update: number; readonly key: string | null }
  | { readonly type: "read"; readonly name: number }
  | { readonly type: "stream"; readonly name: number; readonly from: number; readonly timeoutMs: number }
);

/** A client's script. It goes on in the next process when one dies: an operation that can be repeated safely is, any other is left as it was. */
export interface ClientScript {
  readonly client: string;
  readonly ops: readonly ClientOp[];
  next: number;
  /** Was the operation at `next` begun by a process that died? */
  begun: boolean;
}

function isRepeatable(op: ClientOp): boolean {
  if (op.type === "send" || op.type === "update") return op.key !== null;
  // A start that makes room would end what it has started.
  return op.type !== "start" || (op.onExisting !== "terminate" && op.reuse !== "always");
}

/** Those that may take as long as a run. */
const isPatient = (op: ClientOp): boolean => op.type === "result" || op.type === "update" || op.type === "stream";

/** Executes the rest of a script. Rejects never: what goes wrong is in the witness's log. */
export async function runScript(client: Client, process: VirtualProcess, script: ClientScript, witness: Witness): Promise<void> {
  for (let op = script.ops[script.next]; op !== undefined; op = script.ops[script.next]) {
    if (!script.begun || isRepeatable(op)) {
      await process.delay(op.waitMs);
      script.begun = true;
      const done = perform(client, process, op, { client: script.client, number: script.next }, witness);
      // An engine that is closing takes nothing more: the next process goes on from here.
      if (!isPatient(op) && (await done) === "closed") return;
    }
    script.next++;
    script.begun = false;
  }
}

async function perform(
  client: Client,
  process: VirtualProcess,
  op: ClientOp,
  by: { readonly client: string; readonly number: number },
  witness: Witness,
): Promise<string | null> {
  const call: ClientCall = {
    ...by,
    type: op.type,
    workflowId: op.workflowId,
    value: op.type === "send" || op.type === "update" ? `<${by.client}.${by.number}>` : null,
    key: op.type === "send" || op.type === "update" ? op.key : null,
    name: "name" in op ? `${op.type === "read" ? "s" : "c"}${op.name}` : "update" in op ? `u${op.update}` : "",
    calledAt: witness.nowMs(),
    isHeard: () => process.actor.state === "up",
    outcome: "open",
    returnedAt: null,
    code: null,
    answer: null,
    entries: [],
  };
  witness.calls.push(call);
  try {
    call.answer = await answerOf(client, process, op, call);
    call.outcome = "ok";
  } catch (error) {
    call.outcome = "error";
    call.code = isPerdureError(error) ? error.code : error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    if (isPerdureError(error, "run_failed")) call.answer = error.cause instanceof Error ? error.cause.message : String(error.cause);
  }
  call.returnedAt = witness.nowMs();
  return call.code;
}

async function answerOf(client: Client, process: VirtualProcess, op: ClientOp, call: ClientCall): Promise<string | null> {
  const handle: Handle<string> = client.get(programRef, op.workflowId);
  switch (op.type) {
    case "start":
      return start(client, op, call);
    case "send":
      await handle.send(at(messages, op.message), call.value ?? "", op.key === null ? {} : { key: op.key });
      return null;
    case "cancel":
      await handle.cancel("asked to");
      return null;
    case "terminate":
      await handle.terminate("asked to");
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
    case "update":
      return handle.update(at(updates, op.update), call.value ?? "", op.key === null ? {} : { key: op.key });
    case "read":
      return (await handle.read(at(states, op.name))) ?? null;
    case "stream":
      return follow(handle, process, op, call);
    default:
      return op satisfies never;
  }
}

async function start(client: Client, op: Extract<ClientOp, { readonly type: "start" }>, call: ClientCall): Promise<string> {
  const { workflowId, program, delayMs, timeoutMs, withMessages, attempts, reuse, onExisting } = op;
  const send = withMessages.map((message, index) => at(messages, message).of(`<${call.client}.${call.number}.${index}>`));
  const started = await client.start(programRef, program, {
    id: workflowId,
    send,
    delay: delayMs > 0 ? delayMs : undefined,
    timeout: timeoutMs ?? undefined,
    retry: attempts > 1 ? { attempts, backoff: 100 } : undefined,
    reuse,
    onExisting,
  });
  return (await started.describe()).runId;
}

/** Reads until the run has ended, or it has waited long enough. */
async function follow(
  handle: Handle<string>,
  process: VirtualProcess,
  op: Extract<ClientOp, { readonly type: "stream" }>,
  call: ClientCall,
): Promise<null> {
  const controller = new AbortController();
  void process.delay(op.timeoutMs).then(() => controller.abort());
  for await (const entry of handle.stream(at(streams, op.name), { from: op.from, signal: controller.signal }).entries()) {
    const { offset } = entry;
    call.entries.push(entry.kind === "chunk" ? { offset, from: null, value: entry.value } : { offset, from: entry.from, value: null });
  }
  return null;
}
