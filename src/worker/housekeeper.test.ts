import { expect, it } from "vitest";
import { virtualTime } from "../../test/support/virtual-time.js";
import type { Store } from "../backend/backend.js";
import { Housekeeper } from "./housekeeper.js";

/** A housekeeper whose store and worker hold what `world` says. */
function open(world: { runs: number[]; tasks: number[]; known: Set<number>; running: Set<number>; driven?: number[] }) {
  const time = virtualTime();
  const released: { readonly runs: readonly number[]; readonly tasks: readonly number[] }[] = [];
  const withdrawn: number[] = [];
  const lost: number[] = [];
  const mail: [number, number][] = [];
  let dead = 0;
  const store = {
    inspectOwned: () =>
      Promise.resolve({
        runs: world.runs.map((key) => ({ key, inboxCount: key * 10, inboxSeen: 0 })),
        tasks: world.tasks.map((key) => ({ key, cancelRequested: false })),
      }),
    release: ({ runs, tasks }: { runs: number[]; tasks: number[] }) => {
      released.push({ runs, tasks });
      return Promise.resolve();
    },
    expireTasks: () => Promise.resolve(0),
    recover: () => Promise.resolve({ workers: dead, runs: dead, tasks: 0 }),
  } as unknown as Store;
  let work = 0;
  const quiet = (): void => undefined;
  const housekeeper = new Housekeeper({
    store,
    runtime: time.runtime(),
    logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    recoverMs: 400,
    inspectMs: 1000,
    worker: () => 1,
    knowsRun: (key) => world.known.has(key),
    drivenRuns: () => world.driven ?? [],
    onLost: (key) => lost.push(key),
    runningTasks: () => world.running,
    onMail: (key, count) => mail.push([key, count]),
    onCancelled: () => undefined,
    onWithdrawn: (key) => withdrawn.push(key),
    onWork: () => work++,
    onTrouble: quiet,
  });
  housekeeper.start();
  return { time, housekeeper, released, withdrawn, lost, mail, kill: (count: number) => (dead = count), works: () => work };
}

it("gives back what the store says it owns and nobody here knows of, once that has been so twice in a row", async () => {
  const world = { runs: [1, 2], tasks: [7, 8], known: new Set([1]), running: new Set([7]) };
  const { time, released } = open(world);
  await time.advance(1100);
  expect(released).toEqual([]);
  await time.advance(1100);
  expect(released).toEqual([{ runs: [2], tasks: [8] }]);
});

it("leaves alone a claim whose answer is merely on its way", async () => {
  const world = { runs: [1], tasks: [], known: new Set<number>(), running: new Set<number>() };
  const { time, released } = open(world);
  await time.advance(1100);
  world.known.add(1);
  await time.advance(5000);
  expect(released).toEqual([]);
});

it("aborts the bodies of tasks that were withdrawn", async () => {
  const { time, withdrawn } = open({ runs: [], tasks: [7], known: new Set(), running: new Set([7, 9]) });
  await time.advance(1100);
  expect(withdrawn).toEqual([9]);
});

it("looks at once when it is hinted at, and no more than ten times a second", async () => {
  const { time, housekeeper, mail, released } = open({ runs: [3], tasks: [], known: new Set(), running: new Set() });
  await time.advance(300);
  for (let hint = 0; hint < 50; hint++) {
    housekeeper.hint();
    await time.advance(10);
  }
  expect(mail.length).toBeGreaterThanOrEqual(4);
  expect(mail.length).toBeLessThanOrEqual(6);
  // Looking often must not take a claim that is on its way for a stray.
  expect(released).toEqual([]);
});

it("tells of mail whose hint was lost", async () => {
  const { time, mail } = open({ runs: [3], tasks: [], known: new Set([3]), running: new Set() });
  await time.advance(1100);
  expect(mail).toEqual([[3, 30]]);
});

it("has work looked for after a peer's death, and does nothing any more once it is stopped", async () => {
  const { time, housekeeper, kill, works } = open({ runs: [], tasks: [], known: new Set(), running: new Set() });
  await time.advance(2000);
  expect(works()).toBe(0);
  kill(1);
  await time.advance(450);
  kill(0);
  expect(works()).toBeGreaterThan(0);
  const before = works();
  housekeeper.stop();
  kill(1);
  await time.advance(5000);
  expect(works()).toBe(before);
});

it("says which driven runs the store gives to nobody here, once that has been so twice in a row", async () => {
  const world = { runs: [1], tasks: [], known: new Set([1, 2]), running: new Set<number>(), driven: [1, 2] };
  const { time, lost } = open(world);
  await time.advance(1100);
  expect(lost).toEqual([]);
  await time.advance(1100);
  expect(lost).toEqual([2]);
});
