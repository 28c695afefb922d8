import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Wake, WakeOptions } from "./wake.js";
import { wake } from "./wake.js";

let folder: string;
let signal: Wake;
/** Virtual time: timers fire when `advance` passes them. */
let timers: { atMs: number; callback: () => void }[];
let nowMs: number;
let version: number;
let looks: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "perdure-wake-"));
  timers = [];
  nowMs = 0;
  version = 1;
  looks = 0;
});
afterEach(() => {
  signal.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(options: Partial<WakeOptions> = {}): Wake {
  signal = wake({
    file: join(folder, "a.db-wake"),
    watching: false,
    dataVersion: () => {
      looks++;
      return version;
    },
    runtime: {
      setTimer(callback, delayMs) {
        const timer = { atMs: nowMs + delayMs, callback };
        timers.push(timer);
        return { cancel: () => void (timers = timers.filter((other) => other !== timer)) };
      },
    },
    ...options,
  });
  return signal;
}

function advance(ms: number): void {
  const endMs = nowMs + ms;
  for (;;) {
    const next = timers.toSorted((a, b) => a.atMs - b.atMs)[0];
    if (next === undefined || next.atMs > endMs) break;
    timers = timers.filter((timer) => timer !== next);
    nowMs = next.atMs;
    next.callback();
  }
  nowMs = endMs;
}

describe("polling", () => {
  it("tells of a changed version only", () => {
    let wakes = 0;
    open().onWake(() => void wakes++);
    advance(1000);
    expect(wakes).toBe(0);
    version++;
    advance(250);
    expect(wakes).toBe(1);
    advance(1000);
    expect(wakes).toBe(1);
  });

  it("goes on at its pace without a watcher, and stops on close", () => {
    open();
    advance(60_000);
    expect(looks).toBe(1 + 240);
    signal.close();
    advance(60_000);
    expect([looks, timers]).toEqual([241, []]);
  });

  it("slows down when nothing happens and a watcher would tell, and speeds up again", () => {
    open({ watching: true });
    advance(5000);
    looks = 0;
    advance(60_000);
    expect(looks).toBe(60);
    version++;
    advance(1000);
    looks = 0;
    advance(2000);
    expect(looks).toBe(8);
  });

  it("survives a store that is just being opened anew", () => {
    let broken = false;
    let wakes = 0;
    open({
      dataVersion: () => {
        if (broken) throw new Error("no connection");
        return version;
      },
    }).onWake(() => void wakes++);
    broken = true;
    advance(500);
    broken = false;
    advance(500);
    // Who knows what was missed.
    expect(wakes).toBeGreaterThan(0);
  });

  it("does not exist for a database in memory", () => {
    open({ file: undefined }).touch();
    advance(1000);
    expect(looks).toBe(1);
  });
});

it("forgets a listener that stopped", () => {
  let wakes = 0;
  const { stop } = open().onWake(() => void wakes++);
  stop();
  version++;
  advance(1000);
  expect(wakes).toBe(0);
});
