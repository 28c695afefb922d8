// Proves that on this runtime everything that code can chain without leaving the microtask queue has settled when the engine's drain calls back:
// at module top level, from every kind of callback, and turn after turn.  <runtime> drain.mjs
import { readFile } from "node:fs";
import { systemRuntime } from "../../dist/platform/runtime.js";

const { drain } = systemRuntime();
/** @type {string[]} */
const failures = [];

/** @param {number} depth @param {Promise<unknown>} start @returns {Promise<unknown>} */
const nested = async (depth, start) => (depth === 0 ? start : await nested(depth - 1, start));
/** @param {number} depth @param {Promise<unknown>} start @returns {Promise<unknown>} */
const adopted = (depth, start) => (depth === 0 ? start : new Promise((resolve) => resolve(adopted(depth - 1, start))));
class Thenable {
  /** @param {number} depth */
  constructor(depth) {
    this.depth = depth;
  }
  // oxlint-disable-next-line unicorn/no-thenable -- thenables are what is tested
  then(/** @type {(value: unknown) => void} */ resolve) {
    resolve(this.depth === 0 ? 1 : new Thenable(this.depth - 1));
  }
}
async function* counting() {
  for (let i = 0; i < 50; i++) yield i;
}

/** What workflow code does after its one event, as promises that must all have settled. @param {Promise<unknown>} event */
const work = (event) => [
  (async () => {
    await event;
    for (let i = 0; i < 1000; i++) await Promise.resolve();
  })(),
  nested(200, event),
  adopted(100, event),
  event.then(() => new Thenable(50)),
  (async () => {
    for (const promise of [event, event.then(() => 1), nested(20, event)]) await Promise.all([promise, nested(10, promise)]);
  })(),
  Promise.race([new Promise(() => {}), nested(30, event)]).then(() => Promise.any([event, Promise.reject(new Error("lost"))])),
  Promise.allSettled([nested(40, event), event.then(() => Promise.reject(new Error("lost")))]),
  (async () => {
    await event;
    for await (const one of counting()) await Promise.resolve(one);
  })(),
  event.then(() => new Promise((resolve) => queueMicrotask(() => queueMicrotask(() => resolve(undefined))))),
  event.then(() => 1).finally(() => void nested(25, event)),
];

/** One turn. @param {string} where @param {(callback: () => void) => void} [hop] @returns {Promise<number>} how many chains were left unsettled */
function turn(where, hop = drain) {
  /** @type {(value?: unknown) => void} */
  let settle = () => {};
  const chains = work(new Promise((resolve) => (settle = resolve)));
  let settled = 0;
  for (const chain of chains) void chain.then(() => settled++);
  settle();
  return new Promise((resolve) => {
    hop(() => {
      const left = chains.length - settled;
      if (left > 0 && hop === drain) failures.push(`${where}: ${left} of ${chains.length} chains were not done`);
      resolve(left);
    });
  });
}

await turn("module top level, first");
await turn("module top level, after an await");
/** @type {[string, (callback: () => void) => unknown][]} */
const places = [
  ["timer", (callback) => setTimeout(callback, 1)],
  ["immediate", (callback) => setImmediate(callback)],
  ["microtask", queueMicrotask],
  ["tick", (callback) => process.nextTick(callback)],
  ["file", (callback) => readFile(new URL(import.meta.url), callback)],
  ["drain", drain],
];
for (const [name, enter] of places) {
  await new Promise((resolve) => enter(() => resolve(turn(name))));
  // Others use the queues at the same time.
  await new Promise((resolve) =>
    enter(() => {
      for (let i = 0; i < 20; i++) process.nextTick(() => Promise.resolve().then(() => process.nextTick(() => {})));
      resolve(Promise.all([turn(`${name}, busy`), turn(`${name}, busy, beside`)]));
    }),
  );
}
// Turn after turn out of the drain's own callback, as a replay does.
for (let turns = 0; turns < 100; turns++) await new Promise((resolve) => drain(() => resolve(turn(`turn ${turns}`))));

// The proof must be able to fail: a hop that does not wait for the microtasks.
const control = await turn("control", (callback) => callback());
if (control === 0) failures.push("control: a hop that waits for nothing found everything settled");

for (const failure of failures) console.log(failure);
console.log(failures.length === 0 ? "drain: everything settles" : `drain: ${failures.length} failures`);
process.exitCode = failures.length === 0 ? 0 : 1;
