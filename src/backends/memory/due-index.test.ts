import fc from "fast-check";
import { expect, test } from "vitest";
import { createDueIndex, enterDue, firstDue, leaveDue, nextDueAt, type Due } from "./due-index.js";

interface Row extends Due<Row> {
  readonly key: number;
}

const routes = ["a", "b", "c"];
const rowOf = (key: number, route: string, dueAt: number): Row => ({ key, route, dueAt, heap: null, heapIndex: 0 });

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant("enter" as const), name: fc.constantFrom(...routes), dueAt: fc.nat(50) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("leave" as const), index: fc.nat(100) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("take" as const), routes: fc.subarray(routes) }) },
  // Also backwards: a clock may be set.
  { weight: 1, arbitrary: fc.record({ type: fc.constant("clock" as const), now: fc.nat(50) }) },
);

test("the index gives what a scan of all rows would give", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: "max" }), (steps) => {
      const index = createDueIndex<Row>();
      let rows: Row[] = [];
      let now = 10;
      for (const [key, action] of steps.entries()) {
        if (action.type === "enter") {
          const row = rowOf(key, action.name, action.dueAt);
          enterDue(index, row);
          rows.push(row);
        } else if (action.type === "leave") {
          const row = rows[action.index];
          if (row !== undefined) leaveDue(row);
          rows = rows.filter((other) => other !== row);
        } else if (action.type === "clock") {
          now = action.now;
        } else {
          const ofNames = rows
            .filter(({ route }) => action.routes.includes(route))
            .toSorted((a, b) => (a.dueAt ?? 0) - (b.dueAt ?? 0) || a.key - b.key);
          const due = ofNames.filter(({ dueAt }) => dueAt !== null && dueAt <= now);
          const first = firstDue(index, action.routes, now);
          expect(first?.key).toBe(due[0]?.key);
          expect(nextDueAt(index, action.routes, now)).toBe(ofNames[due.length]?.dueAt ?? null);
          if (first !== null) leaveDue(first);
          rows = rows.filter((row) => row !== first);
        }
      }
    }),
  );
});

test("a row that is in no index may leave", () => {
  const index = createDueIndex<Row>();
  const row = rowOf(1, "a", 5);
  leaveDue(row);
  enterDue(index, row);
  leaveDue(row);
  leaveDue(row);
  expect(firstDue(index, ["a"], 10)).toBeNull();
  expect(nextDueAt(index, ["a"], 0)).toBeNull();
});
