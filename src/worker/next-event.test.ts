import { expect, it } from "vitest";
import { Recording } from "../../test/support/machine-lab.js";
import { jsonCodec } from "../codec/json-codec.js";
import { codecChain } from "../codec/codec-chain.js";
import type { InboxRecord } from "../backend/records.js";
import { chooseEvent, type Arrival, type Mail, type Sources } from "./next-event.js";

const codec = codecChain(jsonCodec({ errors: [], limits: {} }));
const mailOf = (record: Partial<InboxRecord>): Mail => ({
  record: { position: 1, kind: "message", name: "", command: null, attempt: null, payload: "1", options: null, ...record },
  text: "1",
});

/** A run that waits for a step, an activity and a timer of a second, 5 s after it began; the clock says `now`. */
async function waiting(now: number, more: { mail?: Mail[]; arrivals?: Arrival[]; deadlineAt?: number } = {}) {
  const recording = new Recording((ctx) =>
    Promise.all([ctx.step("a", () => 1), ctx.activity({ kind: "activity", name: "b" } as never), ctx.sleep(1000), ctx.sleep(900)]),
  );
  await recording.start();
  const dropped: number[] = [];
  const sources: Sources = {
    machine: recording.machine,
    codec,
    mail: more.mail ?? [],
    arrivals: more.arrivals ?? [],
    deadlineAt: more.deadlineAt ?? null,
    now,
    lastAt: 6000,
    random: () => 0,
    onDropped: (position) => dropped.push(position),
    onRefused: () => undefined,
  };
  return { sources, dropped };
}

const arrival: Arrival = {
  kind: "settled",
  command: 1,
  attempt: 1,
  isLast: false,
  text: "1",
  payload: "1",
  failure: undefined,
  unsealed: undefined,
};

it("takes what others sent before what its steps gave before what time brings; of timers the earliest", async () => {
  const { sources } = await waiting(9000, { mail: [mailOf({ kind: "activity_completed", command: 2, attempt: 1 })], arrivals: [arrival] });
  expect(chooseEvent(sources)?.event).toMatchObject({ kind: "operation_completed", command: 2 });
  expect(chooseEvent(sources)?.event).toMatchObject({ kind: "operation_completed", command: 1 });
  expect(chooseEvent(sources)?.event).toMatchObject({ kind: "timer_fired", command: 4 });
});

it("never lets time go back, whatever the clock does and wherever the event comes from", async () => {
  const given = [
    { mail: [mailOf({ kind: "cancel" })] },
    { mail: [mailOf({ kind: "activity_completed", command: 2, attempt: 1 })] },
    { arrivals: [arrival] },
    {},
    { deadlineAt: 1500 },
  ];
  for (const more of given) {
    const { sources } = await waiting(2500, more);
    expect(chooseEvent(sources)?.event.at, JSON.stringify(more)).toBe(6000);
  }
});

it("fires no timer and no deadline before its time", async () => {
  const { sources } = await waiting(1899, { deadlineAt: 1900 });
  expect(chooseEvent(sources)).toBeUndefined();
  sources.now = 1900;
  expect(chooseEvent(sources)?.event).toEqual({ kind: "deadline_passed", at: 6000 });
});

it("drops outcomes of attempts that the run has moved on from, and mail that is not asked for stays", async () => {
  const { sources, dropped } = await waiting(1500, {
    mail: [
      mailOf({ position: 7, kind: "activity_failed", command: 2, attempt: 2 }),
      mailOf({ position: 8, kind: "activity_completed", command: 9, attempt: 1 }),
      mailOf({ position: 9, name: "nobody asks" }),
    ],
    arrivals: [{ ...arrival, attempt: 2 }],
  });
  expect(chooseEvent(sources)).toBeUndefined();
  expect([dropped, sources.mail.length, sources.arrivals.length]).toEqual([[7, 8], 1, 0]);
});
