/** What clients were told, against what the store holds. */
import type { RunRow } from "../../backends/memory/state.js";
import { readAnswer } from "../../worker/update-answer.js";
import type { FinalOptions, RestingRun } from "./final-checks.js";
import type { ClientCall, Witness } from "./witness.js";
import { textOf } from "./record-texts.js";

export function checkCalls(options: FinalOptions, resting: ReadonlyMap<number, RestingRun>): void {
  const { state, witness } = options;
  const byId = new Map<string, RunRow[]>();
  for (const row of state.runs.values()) byId.set(row.workflowId, [...(byId.get(row.workflowId) ?? []), row]);
  const lastPosition = new Map<string, number>();
  for (const call of witness.calls) {
    const rows = byId.get(call.workflowId) ?? [];
    if (call.type === "start" && call.outcome === "ok" && !rows.some((row) => row.runId === call.answer))
      witness.violate("I10", `${nameOf(call)} was told that ${call.workflowId} is run ${call.answer}, which is not there`);
    if (call.outcome === "open" && call.isHeard())
      witness.violate("I18", `${nameOf(call)}: a ${call.type} of ${call.workflowId} was never answered`);
    if (rows.length > 0) checkCall(options, call, rows, lastPosition);
  }
  checkSentByRuns(witness, resting);
  checkFinishes(options, resting);
}

const nameOf = ({ client, number }: ClientCall): string => `${client}.${number}`;

function checkCall(options: FinalOptions, call: ClientCall, rows: readonly RunRow[], lastPosition: Map<string, number>): void {
  const { witness } = options;
  switch (call.type) {
    case "send":
      return checkSend(witness, call, lastPosition);
    case "cancel":
      if (call.outcome === "ok" && !witness.accepted.some((item) => item.kind === "cancel" && rows.some((row) => row.key === item.runKey)))
        witness.violate("I11", `${nameOf(call)}: a cancel was acknowledged and is nowhere`);
      return undefined;
    case "terminate":
      return checkTerminate(options, call, rows);
    case "result":
      return call.answer === null ? undefined : checkResult(options, call, rows);
    case "update":
      return checkUpdate(options, call, rows);
    case "read":
      return call.outcome === "ok" ? checkRead(options, call) : undefined;
    case "stream":
      return checkStream(options, call, rows);
    case "start":
    case "describe":
    case "list":
      return undefined;
    default:
      return call.type satisfies never;
  }
}

function checkSend(witness: Witness, call: ClientCall, lastPosition: Map<string, number>): void {
  const found = acceptedWith(witness, call.value);
  const what = `${nameOf(call)}: ${call.value}`;
  // Sent by id, and again when no answer came: by then another run may have taken the place of the one that took it.
  if (found.length > new Set(found.map(({ chain }) => chain)).size) witness.violate("I7", `${what} was accepted ${found.length} times`);
  if (call.outcome === "ok" && found.length === 0) {
    // With a key of its own choosing the sender may have been beaten to it.
    const beaten = call.key !== null && witness.accepted.some((item) => item.dedupeKey === `key/${call.key}`);
    if (!beaten) witness.violate("I6", `${what} was acknowledged and is nowhere`);
  }
  const refused = call.outcome === "error" && (call.code === "not_running" || call.code === "not_found");
  // One that is still on its way when a second attempt is refused may arrive later: nobody can know.
  if (refused && call.key === null && found.some((item) => item.atMs <= (call.returnedAt ?? 0)))
    witness.violate("I15", `${what} was refused (${call.code}) and accepted`);
  const [item] = found;
  if (item === undefined || call.outcome !== "ok") return;
  const sender = `${call.client} ${item.chain}`;
  if ((lastPosition.get(sender) ?? 0) > item.position && call.key === null)
    witness.violate("I7", `${what} went in before what its sender had sent earlier`);
  lastPosition.set(sender, Math.max(item.position, lastPosition.get(sender) ?? 0));
}

const acceptedWith = (witness: Witness, value: string | null) =>
  witness.accepted.filter((item) => item.kind === "message" && item.payload?.includes(value ?? "?") === true);

/** Messages of workflow code are there once, whatever became of the process that sent them. */
function checkSentByRuns(witness: Witness, resting: ReadonlyMap<number, RestingRun>): void {
  for (const { row, replayed } of resting.values()) {
    for (const seen of replayed.observed.values()) {
      const value = /^sent (<.*>)$/.exec(seen)?.[1];
      if (value === undefined) continue;
      const count = acceptedWith(witness, value).length;
      const mayBeBeaten = witness.accepted.some((item) => item.dedupeKey?.startsWith("key/") === true);
      if (count > 1 || (count === 0 && !mayBeBeaten))
        witness.violate("I6", `run ${row.key}: its message ${value} was acknowledged, and accepted ${count} times`);
    }
  }
}

/** Nothing that was there when it was asked for is open when it is acknowledged. */
function checkTerminate({ models, witness }: FinalOptions, call: ClientCall, rows: readonly RunRow[]): void {
  if (call.outcome !== "ok") return;
  for (const { key } of rows) {
    const model = models.get(key);
    if (model === undefined || model.startedAtMs > call.calledAt) continue;
    if ((model.endedAtMs ?? Infinity) > (call.returnedAt ?? 0))
      witness.violate("terminate", `${nameOf(call)}: run ${key} went on after it was terminated`);
  }
}

function checkResult({ state, witness, codec }: FinalOptions, call: ClientCall, rows: readonly RunRow[]): void {
  const results = rows
    .filter((row) => row.status === "completed" || row.status === "failed")
    .map((row) => {
      const text = textOf(state.histories.get(row.key)?.at(-1)?.payload ?? null) ?? "";
      return String(row.status === "completed" ? codec.decode(text) : codec.decodeError(text).message);
    });
  if (!results.includes(call.answer ?? ""))
    witness.violate("I15", `${nameOf(call)} was told that ${call.workflowId} gave ${call.answer}, and it gave ${results.join(" or ")}`);
}

/** An answer that a client was given is stored, for the request that it made. */
function checkUpdate({ state, witness, codec, tally }: FinalOptions, call: ClientCall, rows: readonly RunRow[]): void {
  const code = call.code ?? "";
  const isAnswer = call.outcome === "ok" || /^Error: (?:declined|not valid)/.test(code);
  if (!isAnswer) return;
  tally.count(call.outcome === "ok" ? "update:ok" : "update:refused");
  const told = call.outcome === "ok" ? (call.answer ?? "") : code.slice("Error: ".length);
  const answers = rows.flatMap((row) =>
    [...(state.entries.get(row.chain) ?? [])].flatMap(([name, { payload }]) => {
      if (!name.startsWith("answer:")) return [];
      const { status, text } = readAnswer(textOf(payload) ?? "");
      return [status === "completed" ? String(codec.decode(text)) : codec.decodeError(text).message];
    }),
  );
  if (!answers.includes(told)) witness.violate("I15", `${nameOf(call)} was told ${told}, which is not stored`);
  if (call.key === null && !told.includes(call.value ?? "?"))
    witness.violate("updates", `${nameOf(call)} asked ${call.value} and was told ${told}`);
}

/** What was read was the last that had been published, at some time between the question and the answer. */
function checkRead({ witness, codec, models }: FinalOptions, call: ClientCall): void {
  const { calledAt, workflowId, name, answer } = call;
  const returnedAt = call.returnedAt ?? 0;
  const mine = witness.published.filter((one) => one.workflowId === workflowId && one.name === name);
  const latest = mine.findLast((one) => one.atMs <= calledAt);
  const possible = mine.filter((one) => one === latest || (one.atMs > calledAt && one.atMs <= returnedAt));
  if (answer !== null && possible.some(({ payload }) => String(codec.decode(payload)) === answer)) return;
  // Nothing, if a chain was the newest of its id that had not published yet.
  const newest = [...models.values()].filter((model) => model.workflowId === workflowId && model.startedAtMs <= returnedAt);
  const mayBeEmpty = newest.some(
    ({ chain, startedAtMs }) => !mine.some((one) => one.chain === chain.key && one.atMs <= Math.max(calledAt, startedAtMs)),
  );
  if (answer === null && mayBeEmpty) return;
  witness.violate(
    "I15",
    `${nameOf(call)} read ${name} of ${workflowId} as ${answer}, of ${possible.map(({ payload }) => payload).join(" or ")}`,
  );
}

/** A reader sees what is stored, from the offset that it asked for and without gaps. */
function checkStream({ state, witness, codec }: FinalOptions, call: ClientCall, rows: readonly RunRow[]): void {
  const [first] = call.entries;
  if (first === undefined) return;
  for (const [index, { offset }] of call.entries.entries())
    if (offset !== first.offset + index)
      return witness.violate("streams", `${nameOf(call)} read ${call.name} at ${offset} after ${index} from ${first.offset}`);
  const fits = [...new Set(rows.map(({ chain }) => chain))].some((chain) => {
    const chunks = state.streams.get(chain)?.get(call.name)?.chunks ?? [];
    return call.entries.every(({ offset, from, value }) => {
      const chunk = chunks[offset];
      if (chunk === undefined || chunk.restartAt !== from) return false;
      return value === null || String(codec.decode(textOf(chunk.payload) ?? "")) === value;
    });
  });
  if (!fits)
    witness.violate(
      "streams",
      `${nameOf(call)} read ${call.name} of ${call.workflowId} as ${JSON.stringify(call.entries)}, which is not stored`,
    );
}

/** What somebody outside was told of: the outcome of an activity that he finished is recorded, and what was refused is not. */
function checkFinishes({ witness, tally, models }: FinalOptions, resting: ReadonlyMap<number, RestingRun>): void {
  const recorded = new Set([...resting.values()].flatMap(({ replayed }) => [...replayed.observed.values()]));
  const finished = new Set<number>();
  for (const { value, outcome, atMs, execution } of witness.finishes) {
    // A run that fails of it may tell its parent, in the same words.
    const runId = witness.effects.executions[execution - 1]?.runId;
    const accepted = witness.accepted.filter(
      (item) => models.get(item.runKey)?.runId === runId && item.payload?.includes(`"${value}"`) === true,
    );
    tally.count(`finish:${outcome}`);
    if (accepted.length > 1 || (accepted.length === 1 && finished.has(execution)))
      witness.violate("I8", `the outcome ${value} was accepted, ${accepted.length} times, or another one was before`);
    if (accepted.length > 0) finished.add(execution);
    if (outcome === "ok" && accepted.length === 0) witness.violate("I15", `the outcome ${value} was acknowledged and is nowhere`);
    if (outcome === "refused" && (recorded.has(value) || accepted.some((item) => item.atMs <= atMs)))
      witness.violate("I15", `the outcome ${value} was refused and accepted`);
  }
}
