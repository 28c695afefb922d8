// The heart of the engine: whatever workflow code does with promises, replaying its history gives the same commands in the same turns, and the code sees
// the same. Programs are drawn at random, their events come in random order, and several share each drain.
import { afterAll, beforeAll, expect, it } from "vitest";
import { lateRejections } from "../platform/late-rejections.js";
import { describeState, describeTurn, drained, eventAt, Recording, replay } from "../../test/support/machine-lab.js";
import { createCode, drawProgram, seeded, type Program, type Random } from "../../test/support/random-program.js";
import type { TurnEvent } from "./events.js";
import type { Pending } from "./pending.js";

/** More with PERDURE_PROGRAMS=20000; another set with PERDURE_SEED. */
const programs = Number(process.env["PERDURE_PROGRAMS"] ?? 1500);
const firstSeed = Number(process.env["PERDURE_SEED"] ?? 1);
const turnsMax = 120;

let leave: () => void;
beforeAll(() => {
  leave = lateRejections.join();
});
afterAll(() => leave());

interface Live {
  readonly seed: number;
  readonly program: Program;
  readonly random: Random;
  readonly recording: Recording;
  readonly seen: string[];
  ended: boolean;
}

function begin(seed: number): Live {
  const random = seeded(seed);
  const program = drawProgram(random);
  const seen: string[] = [];
  return { seed, program, random, recording: new Recording(createCode(program, (what) => void seen.push(what))), seen, ended: false };
}

/** Something that may happen next to a run that waits. */
function drawEvent({ random, recording }: Live): TurnEvent | undefined {
  const { machine } = recording;
  const at = recording.at + random(5);
  if (!machine.cancelRequested && random(40) === 0)
    return random(3) === 0 ? { kind: "deadline_passed", at } : { kind: "cancel_requested", at, position: 1, reason: "why not" };
  const pending = [...machine.pending.values()];
  const chosen = pending[random(Math.max(1, pending.length))];
  if (chosen === undefined) return machine.cancelRequested ? undefined : { kind: "cancel_requested", at, position: 1, reason: undefined };
  return eventFor(chosen, pending, at, random);
}

function eventFor({ command, attempt }: Pending, pending: readonly Pending[], at: number, random: Random): TurnEvent {
  const { number } = command;
  switch (command.kind) {
    case "step":
    case "activity": {
      const fate = random(8);
      if (fate === 0) return { kind: "attempt_failed", at, command: number, attempt, retryAt: at + 5 };
      if (fate < 3) return { kind: "operation_failed", at, command: number, attempt, error: new Error(`failed ${number}`) };
      return { kind: "operation_completed", at, command: number, value: `result ${number}` };
    }
    case "sleep":
    case "scope_timeout":
      return { kind: "timer_fired", at: Math.max(at, command.dueAt), command: number };
    case "receive": {
      if (command.dueAt !== null && random(3) === 0) return { kind: "timer_fired", at: Math.max(at, command.dueAt), command: number };
      const name = command.messages[random(command.messages.length)] ?? "";
      // It goes to the first receiver in command order.
      const first = pending.find((one) => one.command.kind === "receive" && one.command.messages.includes(name));
      return { kind: "message_received", at, command: first?.command.number ?? number, name, position: at, value: `value ${at}` };
    }
    default:
      throw new Error(`random programs make no ${command.kind}`);
  }
}

/** Drives several runs to their ends, one event of each a drain. */
async function drive(runs: readonly Live[]): Promise<void> {
  await Promise.all(
    runs.map(async (run) => {
      run.ended = (await run.recording.start()).outcome.state !== "waiting";
    }),
  );
  for (let turn = 0; turn < turnsMax; turn++) {
    const events = runs.flatMap((run) => {
      const event = run.ended ? undefined : drawEvent(run);
      return event === undefined ? [] : [{ run, event }];
    });
    if (events.length === 0) return;
    for (const { run, event } of events) run.recording.begin(event);
    await drained();
    for (const { run, event } of events) {
      const { outcome } = run.recording.end(event, true);
      if (outcome.state !== "waiting") run.ended = true;
    }
  }
}

/** Replays a prefix cold, delivers the rest as new, and compares what the code saw and did with the live run. */
async function compare(live: Live, count: number, drain?: (callback: () => void) => void): Promise<void> {
  const { recording, program, seed } = live;
  const seen: string[] = [];
  const code = createCode(program, (what) => void seen.push(what));
  const { machine, state } = await replay(recording, code, { count, ...(drain === undefined ? {} : { drain }) });
  expect({ seed, count, state: describeState(state) }).toEqual({ seed, count, state: describeState(recording.states[count - 1] ?? state) });
  for (let index = count; index < recording.lines.length; index++) {
    machine.begin(eventAt(recording, index), index + 1, undefined);
    await drained();
    expect({ seed, count, turn: describeTurn(machine.end(true)) }).toEqual({ seed, count, turn: recording.turns[index] });
  }
  expect({ seed, count, seen }).toEqual({ seed, count, seen: live.seen });
}

const breath = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

it(`replays ${programs} random programs as they ran live`, { timeout: 10_000 + programs * 20 }, async () => {
  const met = new Set<string>();
  let turns = 0;
  for (let seed = firstSeed; seed < firstSeed + programs; seed += 5) {
    const runs = [0, 1, 2, 3, 4].map((index) => begin(seed + index));
    await drive(runs);
    await breath();
    for (const run of runs) {
      const { lines, states } = run.recording;
      turns += lines.length;
      for (const { envelope } of lines) met.add(envelope.kind);
      for (const { state } of states) met.add(state);
      await compare(run, lines.length);
      if (lines.length > 1) await compare(run, 1 + run.random(lines.length - 1));
    }
  }
  // The property says nothing about what the programs never do. No program may diverge.
  const events = [
    "started",
    "operation_completed",
    "operation_failed",
    "attempt_failed",
    "timer_fired",
    "message_received",
    "cancel_requested",
    "deadline_passed",
  ];
  expect([...met].sort()).toEqual([...events, "waiting", "completed", "failed", "cancelled"].sort());
  expect(turns).toBeGreaterThan(programs * 5);
});

it("would notice a replay that does not wait for the code to come to rest", async () => {
  let noticed = 0;
  for (let seed = 1; seed <= 50; seed++) {
    const run = begin(seed);
    await drive([run]);
    await breath();
    await compare(run, run.recording.lines.length, queueMicrotask).catch(() => noticed++);
  }
  expect(noticed).toBeGreaterThan(10);
});
