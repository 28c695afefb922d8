import fc from "fast-check";
import { expect, it } from "vitest";
import { DueTimes } from "./due-times.js";

const operation = fc.record({ number: fc.integer({ min: 1, max: 20 }), dueAt: fc.option(fc.integer({ min: 0, max: 30 }), { nil: null }) });

it("gives what a search through all that are left would give", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 400 }), (operations) => {
      const times = new DueTimes();
      const model = new Map<number, number>();
      for (const { number, dueAt } of operations) {
        if (dueAt === null || model.has(number)) {
          times.remove(number);
          model.delete(number);
        } else {
          times.add(number, dueAt);
          model.set(number, dueAt);
        }
        const [first] = [...model].sort(([n, a], [m, b]) => a - b || n - m);
        expect(times.first()).toEqual(first === undefined ? undefined : { number: first[0], dueAt: first[1] });
        expect(times.size).toBe(model.size);
      }
    }),
  );
});
