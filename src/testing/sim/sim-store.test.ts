import { describe, expect, it } from "vitest";
import { StoreFailure } from "../../backend/failures.js";
import { memoryOn } from "../../backends/memory/memory.js";
import { createMemoryState } from "../../backends/memory/state.js";
import { createFaults, noFaults, type FaultRates } from "./faults.js";
import { createPrng } from "./prng.js";
import { createSimBackend, type Network, type StoreMethod } from "./sim-store.js";
import { createTally } from "./tally.js";
import { createActor, createTimeline } from "./timeline.js";
import { createVirtualProcess } from "./virtual-process.js";
import { createVirtualRuntime } from "./virtual-runtime.js";

async function createWorld(rates: Partial<FaultRates>) {
  const prng = createPrng(7);
  const timeline = createTimeline(1000);
  const state = createMemoryState();
  const tally = createTally();
  const store = await memoryOn(state).open(
    createVirtualRuntime(timeline, createActor("store"), prng, { skewMs: 0, drift: 0, suspendedMs: 0 }),
  );
  const reached: StoreMethod[] = [];
  const network: Network = {
    timeline,
    actor: createActor("network"),
    faults: createFaults(prng, { ...noFaults, ...rates }, tally, timeline.nowMs),
    store,
    outside: (seen) => seen,
    clockErrorMs: 0,
    appliesMax: 1,
    listeners: new Set(),
    observe: ({ method }) => void reached.push(method),
    crash: (process) => process.crash(),
    broken: (_, method, error) => expect.unreachable(`${method} ${String(error)}`),
  };
  const boot = (name: string, skewMs = 0) => {
    const process = createVirtualProcess({ name, timeline, prng: prng.fork(name), clock: { skewMs, drift: 0, suspendedMs: 0 } });
    return { process, open: createSimBackend(network, process).open(process.runtime) };
  };
  /** Lets everything happen that will. */
  const run = async (): Promise<void> => {
    for (let ready = timeline.ready(Infinity); ready.length > 0; ready = timeline.ready(Infinity)) {
      timeline.take(0, 0).run();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { timeline, state, tally, boot, run, reached };
}

const register = { workerId: "w", leaseMs: 1000 };

describe("the simulated store", () => {
  it("answers when the timeline says so, not before", async () => {
    const world = await createWorld({});
    const store = await world.boot("a").open;
    let answered = false;
    const call = store.registerWorker(register).then(() => (answered = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect([answered, world.reached]).toEqual([false, []]);
    await world.run();
    await call;
    expect([answered, world.reached]).toEqual([true, ["registerWorker"]]);
  });

  it("says none when it wrote nothing", async () => {
    const world = await createWorld({ failBefore: 1 });
    const store = await world.boot("a").open;
    const call = store.registerWorker(register).catch((error: unknown) => error);
    await world.run();
    expect(await call).toMatchObject({ outcome: "none", transient: true });
    expect(world.state.workers.size).toBe(0);
  });

  it("says unknown when the reply is lost, and has written", async () => {
    const world = await createWorld({ lostReply: 1 });
    const store = await world.boot("a").open;
    const call = store.registerWorker(register).catch((error: unknown) => error);
    await world.run();
    expect(await call).toBeInstanceOf(StoreFailure);
    expect(await call).toMatchObject({ outcome: "unknown", transient: true });
    expect(world.state.workers.size).toBe(1);
  });

  it("may say unknown before it writes", async () => {
    const world = await createWorld({ lateApply: 1 });
    const store = await world.boot("a").open;
    const sizes: number[] = [];
    const call = store.registerWorker(register).catch(() => sizes.push(world.state.workers.size));
    await world.run();
    await call;
    expect([...sizes, world.state.workers.size]).toEqual([0, 1]);
  });

  it("never answers a dead process, nor a paused one before it goes on", async () => {
    const world = await createWorld({});
    const [dead, paused] = [world.boot("dead"), world.boot("paused")];
    const answers: string[] = [];
    const [deadStore, pausedStore] = [await dead.open, await paused.open];
    void deadStore.registerWorker(register).then(() => answers.push("dead"));
    void pausedStore.registerWorker(register).then(() => answers.push("paused"));
    dead.process.crash();
    paused.process.pause({ clockStops: false });
    await world.run();
    expect(answers).toEqual([]);
    paused.process.resume();
    await world.run();
    expect(answers).toEqual(["paused"]);
  });

  it("gives every process the store's time, however wrong its clock is", async () => {
    const world = await createWorld({});
    const store = await world.boot("a", 3_600_000).open;
    expect(store.now()).toBe(Math.floor(world.timeline.nowMs()));
  });

  it("tells the others of news, never the one who made them", async () => {
    const world = await createWorld({});
    const [one, two] = [await world.boot("a").open, await world.boot("b").open];
    const told: string[] = [];
    one.onHint(() => told.push("one"));
    two.onHint(() => told.push("two"));
    void one.retireWorker(1);
    await world.run();
    expect(told).toEqual(["two"]);
  });
});
