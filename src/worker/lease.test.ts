import { describe, expect, it } from "vitest";
import { virtualTime } from "../../test/support/virtual-time.js";
import type { Pulse, Store } from "../backend/backend.js";
import { StoreFailure } from "../backend/failures.js";
import type { Runtime } from "../platform/runtime.js";
import { quietPulse } from "../testing/conformance/samples.js";
import { Lease } from "./lease.js";

const leaseMs = 10_000;

/** A lease over a store that grants what `grants` says. */
function open(grants: { renew: () => Promise<boolean>; now?: () => number; leaseMs?: number; world?: { readonly othersOwn: boolean } }) {
  const time = virtualTime();
  const own = time.runtime();
  const runtime: Runtime = { ...own, now: grants.now ?? (() => own.now()) };
  const said: string[] = [];
  const pulses: Pulse[] = [];
  let registered = 0;
  const store = {
    registerWorker: () => Promise.resolve({ worker: ++registered }),
    pulse: async ({ leaseMs: asked }: { readonly leaseMs: number | null }) => {
      if (asked !== null) said.push("renew");
      return { ...quietPulse, ...grants.world, isAlive: asked === null || (await grants.renew()) };
    },
  } as unknown as Store;
  const lease = new Lease({
    store,
    runtime,
    leaseMs: grants.leaseMs ?? leaseMs,
    pulseMs: 1000,
    runRoutes: ["run"],
    taskRoutes: ["task"],
    onPulse: (pulse) => pulses.push(pulse),
    onLost: () => said.push("lost"),
    onRenewed: (worker) => said.push(`new ${worker}`),
    onTrouble: () => said.push("trouble"),
  });
  return { time, lease, said, pulses };
}

describe("a lease", () => {
  it("is renewed well before it ends, for as long as the store agrees", async () => {
    const { time, lease, said } = open({ renew: () => Promise.resolve(true) });
    expect(await lease.start()).toBe(1);
    await time.advance(6 * leaseMs);
    expect(said.length).toBeGreaterThanOrEqual(12);
    expect(new Set(said)).toEqual(new Set(["renew"]));
    expect([lease.worker, lease.holds()]).toEqual([1, true]);
  });

  it("asks soon where work was heard of, though nobody had any when it asked last", async () => {
    const { time, lease, pulses } = open({ renew: () => Promise.resolve(true) });
    await lease.start();
    await time.advance(3 * 1000);
    const rest = async (ms: number): Promise<number> => {
      const before = pulses.length;
      await time.advance(ms);
      return pulses.length - before;
    };
    // Right behind a beat.
    while ((await rest(10)) === 0);
    expect(await rest(400)).toBe(0);
    lease.expectWork();
    lease.expectWork();
    expect(await rest(350)).toBe(1);
    // One that was near does not come later for it.
    while ((await rest(10)) === 0);
    await time.advance(950);
    lease.expectWork();
    expect(await rest(100)).toBe(1);
  });

  it("that the store refuses is lost, and another is taken under a new key", async () => {
    const { time, lease, said } = open({ renew: () => Promise.resolve(false) });
    await lease.start();
    await time.advance(0.6 * leaseMs);
    expect(said.slice(0, 2)).toEqual(["renew", "lost"]);
    expect(said).toEqual(["renew", "lost", "new 2"]);
    expect(lease.worker).toBe(2);
  });

  it("is given up before its end when the store is out of reach, and never renewed after that", async () => {
    let down = true;
    const failure = new StoreFailure("backend_unavailable", "away", { outcome: "none", transient: true });
    const { time, lease, said } = open({ renew: () => (down ? Promise.reject(failure) : Promise.resolve(true)) });
    await lease.start();
    await time.advance(0.8 * leaseMs - 1);
    expect(said).not.toContain("lost");
    await time.advance(2);
    expect(said).toContain("lost");
    await time.advance(0.2 * leaseMs);
    expect(said.indexOf("new 2")).toBeGreaterThan(said.indexOf("lost"));
    down = false;
    await time.advance(leaseMs);
    expect(lease.worker).toBe(2);
    expect(lease.holds()).toBe(true);
  });

  it("does not hold any more when either clock says that its time has passed", async () => {
    let aheadMs = 0;
    const time = { at: () => 1_000_000 + aheadMs };
    const jumped = open({ renew: () => Promise.resolve(true), now: time.at });
    await jumped.lease.start();
    expect(jumped.lease.holds()).toBe(true);
    aheadMs = leaseMs;
    expect(jumped.lease.holds()).toBe(false);

    const slept = open({ renew: () => Promise.resolve(true), now: () => 0 });
    await slept.lease.start();
    slept.time.skip(leaseMs);
    expect(slept.lease.holds()).toBe(false);
  });

  it("is not renewed by a process that slept through it", async () => {
    const { time, lease, said } = open({ renew: () => Promise.resolve(true) });
    await lease.start();
    time.skip(2 * leaseMs);
    await time.advance(1);
    expect(said).toEqual(["lost"]);
    lease.stop();
  });

  it("asks about once a second what there is to do, and renews with every few of these questions only", async () => {
    const { time, lease, said, pulses } = open({ renew: () => Promise.resolve(true) });
    await lease.start();
    await time.advance(60_000);
    expect(pulses.length).toBeGreaterThanOrEqual(57);
    expect(pulses.length).toBeLessThanOrEqual(63);
    expect(said.length).toBeGreaterThanOrEqual(12);
    expect(said.length).toBeLessThanOrEqual(20);
    lease.stop();
    await time.advance(60_000);
    expect(pulses.length).toBeLessThanOrEqual(63);
  });

  it("is asked about more often while others hold what would have to be taken over", async () => {
    const world = { othersOwn: true };
    const { time, lease, pulses } = open({ renew: () => Promise.resolve(true), world });
    await lease.start();
    await time.advance(10_000);
    expect(pulses.length).toBeGreaterThan(25);
    world.othersOwn = false;
    await time.advance(1000);
    const before = pulses.length;
    await time.advance(10_000);
    expect(pulses.length - before).toBeLessThanOrEqual(11);
  });

  it("that is short is asked about more often, so that one failure does not end it", async () => {
    let calls = 0;
    const failure = new StoreFailure("backend_unavailable", "away", { outcome: "none", transient: true });
    const { time, lease, said } = open({
      leaseMs: 500,
      renew: () => (++calls % 2 === 0 ? Promise.reject(failure) : Promise.resolve(true)),
    });
    await lease.start();
    await time.advance(10_000);
    expect(said).toContain("trouble");
    expect(said).not.toContain("lost");
  });
});
