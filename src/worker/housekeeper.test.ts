import { expect, it } from "vitest";
import { virtualTime } from "../../test/support/virtual-time.js";
import type { Pulse, Store } from "../backend/backend.js";
import { quietPulse } from "../testing/conformance/samples.js";
import { Housekeeper } from "./housekeeper.js";

/** A housekeeper whose store and worker hold what `world` says. */
function open(world: {
  runs: number[];
  tasks: number[];
  known: Set<number>;
  running: Set<number>;
  driven?: number[];
  worker?: number;
  claimingSinceMs?: number;
}) {
  const time = virtualTime();
  const released: { readonly runs: readonly number[]; readonly tasks: readonly number[] }[] = [];
  const withdrawn: number[] = [];
  const lost: number[] = [];
  const mail: [number, number][] = [];
  let dead = 0;
  let asked = 0;
  let expiries = 0;
  const store = {
    inspectOwned: () => {
      asked++;
      return Promise.resolve({
        runs: world.runs.map((key) => ({ key, inboxCount: key * 10, inboxSeen: 0 })),
        tasks: world.tasks.map((key) => ({ key, cancelRequested: false })),
      });
    },
    release: ({ runs, tasks }: { runs: number[]; tasks: number[] }) => {
      released.push({ runs, tasks });
      return Promise.resolve();
    },
    expireTasks: () => {
      expiries++;
      return Promise.resolve(0);
    },
    recover: () => Promise.resolve({ workers: dead, runs: dead, tasks: 0 }),
  } as unknown as Store;
  let work = 0;
  const quiet = (): void => undefined;
  const housekeeper = new Housekeeper({
    store,
    runtime: time.runtime(),
    logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    worker: () => world.worker ?? 1,
    knowsRun: (key) => world.known.has(key),
    claimingSinceMs: () => world.claimingSinceMs ?? Infinity,
    drivenRuns: () => world.driven ?? [],
    onLost: (key) => lost.push(key),
    runningTasks: () => world.running,
    onMail: (key, count) => mail.push([key, count]),
    onCancelled: () => undefined,
    onWithdrawn: (key) => withdrawn.push(key),
    onWork: () => work++,
    onTrouble: quiet,
  });
  /** The beats of a worker whose store says this. */
  const pulse = async (seconds: number, told: Partial<Pulse> = {}): Promise<void> => {
    for (let beat = 0; beat < seconds; beat++) {
      await time.advance(1000);
      housekeeper.onPulse({ ...quietPulse, ownsAny: world.runs.length + world.tasks.length > 0, ...told });
      await time.settle();
    }
  };
  return {
    time,
    housekeeper,
    pulse,
    released,
    withdrawn,
    lost,
    mail,
    kill: (count: number) => (dead = count),
    works: () => work,
    asked: () => asked,
    expiries: () => expiries,
  };
}

it("gives back what the store says it owns and nobody here knows of, once that has been so twice in a row", async () => {
  const world = { runs: [1, 2], tasks: [7, 8], known: new Set([1]), running: new Set([7]) };
  const { pulse, released } = open(world);
  await pulse(1);
  expect(released).toEqual([]);
  await pulse(1);
  expect(released).toEqual([{ runs: [2], tasks: [8] }]);
});

it("leaves alone a claim whose answer is merely on its way", async () => {
  const world = { runs: [1], tasks: [], known: new Set<number>(), running: new Set<number>() };
  const { pulse, released } = open(world);
  await pulse(1);
  world.known.add(1);
  await pulse(5);
  expect(released).toEqual([]);
});

it("leaves it alone for as long as the answer is on its way, and not for what was asked later", async () => {
  const world: Parameters<typeof open>[0] = { runs: [1], tasks: [7], known: new Set(), running: new Set() };
  const { time, pulse, released } = open(world);
  world.claimingSinceMs = time.runtime().monotonicMs();
  await pulse(5);
  expect(released).toEqual([]);
  world.claimingSinceMs = time.runtime().monotonicMs();
  await pulse(1);
  expect(released).toEqual([{ runs: [1], tasks: [7] }]);
});

it("counts anew under another lease", async () => {
  const world: Parameters<typeof open>[0] = { runs: [], tasks: [7], known: new Set(), running: new Set() };
  const { pulse, released } = open(world);
  await pulse(1);
  world.worker = 2;
  await pulse(1);
  expect(released).toEqual([]);
  await pulse(1);
  expect(released).toEqual([{ runs: [], tasks: [7] }]);
});

it("aborts the bodies of tasks that were withdrawn", async () => {
  const { pulse, withdrawn } = open({ runs: [], tasks: [7], known: new Set(), running: new Set([7, 9]) });
  await pulse(1);
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
  const { pulse, mail } = open({ runs: [3], tasks: [], known: new Set([3]), running: new Set() });
  await pulse(1);
  expect(mail).toEqual([[3, 30]]);
});

it("has work looked for after a peer's death, and does nothing any more once it is stopped", async () => {
  const { housekeeper, pulse, kill, works } = open({ runs: [], tasks: [], known: new Set(), running: new Set() });
  kill(1);
  await pulse(2);
  expect(works()).toBe(0);
  await pulse(1, { hasCasualties: true });
  expect(works()).toBe(1);
  housekeeper.stop();
  await pulse(5, { hasCasualties: true });
  expect(works()).toBe(1);
});

it("asks the store nothing while the worker holds nothing", async () => {
  const { pulse, asked } = open({ runs: [], tasks: [], known: new Set(), running: new Set() });
  await pulse(10);
  expect(asked()).toBe(0);
  // One that it does not know of, because an answer was lost.
  await pulse(1, { ownsAny: true });
  expect(asked()).toBe(1);
});

it("tells runs of tasks that are overdue, one call at a time", async () => {
  const { pulse, expiries } = open({ runs: [], tasks: [], known: new Set(), running: new Set() });
  await pulse(1, { hasExpired: true });
  expect(expiries()).toBe(1);
});

it("says which driven runs the store gives to nobody here, once that has been so twice in a row", async () => {
  const world = { runs: [1], tasks: [], known: new Set([1, 2]), running: new Set<number>(), driven: [1, 2] };
  const { pulse, lost } = open(world);
  await pulse(1);
  expect(lost).toEqual([]);
  await pulse(1);
  expect(lost).toEqual([2]);
});
