import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readEnvelope, writeEnvelope, type CommandRecord, type EventEnvelope } from "./events.js";

const commandArbitrary: fc.Arbitrary<CommandRecord> = fc.oneof(
  fc.tuple(fc.constant("step" as const), fc.string({ unit: "binary" })),
  fc.tuple(fc.constant("sleep" as const), fc.string(), fc.nat()),
);
const commands = fc.array(commandArbitrary, { maxLength: 3 });
const envelopeArbitrary: fc.Arbitrary<EventEnvelope> = fc.oneof(
  fc.record({ kind: fc.constant("started" as const), commands }),
  fc.record({ kind: fc.constantFrom("operation_completed" as const, "timer_fired" as const), command: fc.nat(), commands }),
  fc.record({ kind: fc.constant("operation_failed" as const), command: fc.nat(), attempt: fc.nat(), commands }),
  fc.record({ kind: fc.constant("run_completed" as const) }),
);

describe("a line of history", () => {
  it("reads as it was written, whichever way it was put together", () => {
    fc.assert(
      fc.property(envelopeArbitrary, (envelope) => {
        expect(readEnvelope(writeEnvelope(envelope))).toEqual(envelope);
      }),
      { numRuns: 500 },
    );
  });

  it("is the text of plain JSON, its commands last and left out when there are none", () => {
    const event = { kind: "operation_completed", command: 3 } as const;
    expect(writeEnvelope({ ...event, commands: [] })).toBe('{"kind":"operation_completed","command":3}');
    expect(writeEnvelope({ ...event, commands: [["step", 'a "b"']] })).toBe(JSON.stringify({ ...event, commands: [["step", 'a "b"']] }));
    expect(writeEnvelope({ ...event, commands: [["sleep", "", 5]] })).toBe(JSON.stringify({ ...event, commands: [["sleep", "", 5]] }));
  });

  it.each(["", "[]", '{"kind":"unknown"}', '{"kind":"__proto__"}', "null", "{"])("that is damaged or newer is refused: %s", (text) => {
    expect(() => readEnvelope(text)).toThrow(expect.objectContaining({ code: "undecodable" }));
  });
});
