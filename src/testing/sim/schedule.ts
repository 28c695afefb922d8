/**
 * One schedule: several processes with the real engine on one simulated store, on virtual time, all of it drawn from one seed.
 *
 *     faults ──▶ heal: faults off, everything up, fair order ──▶ feed what is waited for ──▶ all runs end ──▶ checks at rest
 */
import { memoryOn } from "../../backends/memory/memory.js";
import { createMemoryState, type RunRow } from "../../backends/memory/state.js";
import { isOpen } from "../../backend/records.js";
import type { Store } from "../../backend/backend.js";
import { jsonCodec } from "../../codec/json-codec.js";
import { readEnvelope } from "../../core/events.js";
import { drawConfig, type ScheduleConfig } from "./config.js";
import { createFaults } from "./faults.js";
import { findOrphans } from "./check-family.js";
import { checkAtRest } from "./final-checks.js";
import { OnlineChecker } from "./online-checker.js";
import { Places } from "./places.js";
import { createPrng } from "./prng.js";
import { receivesOf, type Program } from "./program.js";
import { Scheduler } from "./scheduler.js";
import type { Network } from "./sim-store.js";
import { describeRun, findStuck } from "./stuck.js";
import { drawStrategy, fair } from "./strategies.js";
import { createTally, type Tally } from "./tally.js";
import { createActor, createTimeline } from "./timeline.js";
import { createVirtualRuntime } from "./virtual-runtime.js";
import { createWitness, type Violation, type Witness } from "./witness.js";
import type { Mutant } from "./mutant.js";
import { textOf } from "./record-texts.js";

export interface ScheduleOptions {
  readonly seed: number;
  /** Calls back when all microtasks and ticks have run: one hop of the real event loop. */
  readonly hop: (callback: () => void) => void;
  /** A defence to leave out. */
  readonly mutant?: Mutant | undefined;
  /** Told of every event. */
  readonly onEvent?: ((atMs: number, actor: string, label: string) => void) | undefined;
}

export interface ScheduleResult {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly tally: Tally;
  readonly virtualMs: number;
  readonly events: number;
  /** Changes with any event, its order or its time. */
  readonly traceHash: number;
  readonly witness: Witness;
}

const startMs = Date.UTC(2030, 0, 1);
/** How far a process's idea of the store's time may drift between two replies. */
const driftMs = 20;
const afterlifeMs = 4000;
/** Longer than any lease. */
const takeoverMs = 4500;
const feedAfterMs = 40_000;
const patienceMs = 30_000;
const feedsMax = 20;
/** How long those who asked for something may wait for their answer when all has ended. */
const hearingMs = 25_000;
const unsafeEventsMax = 6000;
const eventsMax = 60_000;

export async function runSchedule(options: ScheduleOptions): Promise<ScheduleResult> {
  const world = await createWorld(options);
  const { timeline, faults, places, witness } = world;
  const prng = createPrng(options.seed).fork("schedule");

  const strategy = drawStrategy(prng.fork("strategy"));
  world.tally.count(`strategy:${strategy.name}`);
  const scheduler = new Scheduler({ timeline, witness, prng, strategy, hop: options.hop, onEvent: options.onEvent });

  for (const place of places.all) timeline.schedule(world.network.actor, `${place.name} boots`, prng.next() * 50, () => places.boot(place));
  for (const misfortune of world.config.misfortunes)
    timeline.schedule(world.network.actor, misfortune.type, misfortune.atMs, () => strike(world, misfortune));
  const allEnded = (): boolean => scriptsDone(places) && world.state.tasks.size === 0 && everyRun(world, (row) => !isOpen(row.status));
  const allAsleep = (): boolean =>
    scriptsDone(places) &&
    world.state.tasks.size === 0 &&
    everyRun(world, (row) => !isOpen(row.status) || (row.owner === null && row.dueAt === null));

  const unsafeUntil = startMs + world.config.unsafeMs;
  await scheduler.run(unsafeUntil, unsafeEventsMax, allEnded);
  // Those that were paused may still have something to say about what has ended.
  await scheduler.run(Math.min(unsafeUntil, timeline.nowMs() + afterlifeMs), unsafeEventsMax, () => false);

  faults.heal();
  places.heal();
  scheduler.strategy = fair;
  const healedAt = timeline.nowMs();
  await scheduler.run(healedAt + takeoverMs, eventsMax, allEnded);
  // Each time that everything sleeps, what it waits for is sent: runs may wait again, go on as others, or start children.
  for (let round = 0; round < feedsMax && !allEnded() && witness.violations.length === 0; round++) {
    await scheduler.run(timeline.nowMs() + feedAfterMs, eventsMax, () => allEnded() || allAsleep());
    if (allEnded()) break;
    await checkSleepers(world, options.hop, allAsleep());
    await feed(world);
  }
  const isHeard = (): boolean => !witness.calls.some((call) => call.outcome === "open" && call.isHeard());
  await scheduler.run(timeline.nowMs() + hearingMs, eventsMax, isHeard);
  if (witness.violations.length === 0) {
    for (const row of world.state.runs.values())
      if (isOpen(row.status))
        witness.violate(
          "I18",
          `run ${row.key} did not end:\n${await describeRun({ ...world, settle: options.hop, nowMs: world.store.now() }, row)}`,
        );
    if (!allEnded()) witness.violate("I18", `clients did not finish, or tasks: ${describeScripts(places)}; ${describeTasks(world)}`);
    await checkAtRest({
      ...world,
      models: world.checker.models,
      chains: world.checker.chains,
      settle: options.hop,
      startMs,
      toleranceMs: world.config.clockErrorMs + driftMs,
    });
  }
  return {
    seed: options.seed,
    violations: witness.violations,
    tally: world.tally,
    virtualMs: timeline.nowMs() - startMs,
    events: scheduler.events,
    traceHash: scheduler.traceHash,
    witness,
  };
}

const scriptsDone = (places: Places): boolean =>
  places.all.every((place) => place.scripts.every((script) => script.next >= script.ops.length));

function everyRun(world: World, holds: (row: RunRow) => boolean): boolean {
  for (const row of world.state.runs.values()) if (!holds(row)) return false;
  return true;
}

/** For the trace: payloads and empty things left out. */
const shortened = (value: unknown): string =>
  JSON.stringify(value, (key, part: unknown) =>
    key === "payload" || key === "input" || part === null || (Array.isArray(part) && part.length === 0) ? undefined : part,
  ) ?? "";

type World = Awaited<ReturnType<typeof createWorld>>;

async function createWorld({ seed, mutant, onEvent }: ScheduleOptions) {
  const prng = createPrng(seed);
  const config = drawConfig(prng.fork("config"));
  const timeline = createTimeline(startMs);
  const tally = createTally();
  const witness = createWitness(() => timeline.nowMs() - startMs);
  const state = createMemoryState();
  const actor = createActor("network");
  const clock = { skewMs: 0, drift: 0, suspendedMs: 0 };
  const honest = await memoryOn(state).open(createVirtualRuntime(timeline, createActor("store"), prng.fork("store"), clock));
  const store: Store = mutant?.inside?.(honest, { state, prng: prng.fork("mutant") }) ?? honest;
  const faults = createFaults(prng.fork("faults"), config.rates, tally, timeline.nowMs);
  const checker = new OnlineChecker({ state, witness, tally, storeNow: () => honest.now(), toleranceMs: config.clockErrorMs + driftMs });
  const network: Network = {
    timeline,
    actor,
    faults,
    store,
    outside: mutant?.outside ?? ((seen) => seen),
    clockErrorMs: config.clockErrorMs,
    appliesMax: config.appliesMax,
    listeners: new Set(),
    observe(call) {
      onEvent?.(timeline.nowMs() - startMs, call.process.name, `  ${call.method} ${shortened(call.args)} => ${shortened(call.result)}`);
      checker.observe(call);
    },
    crash: (process) => places.crashProcess(process),
    broken: (process, method, error) =>
      witness.violate(
        "store",
        `${method} of ${process.name} threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      ),
  };
  const places: Places = new Places({ network, config, prng: prng.fork("places"), witness, tally });
  return { config, timeline, tally, witness, state, store: honest, faults, checker, network, places, codec: jsonCodec() };
}

function strike({ places, faults, timeline, tally }: World, misfortune: ScheduleConfig["misfortunes"][number]): void {
  if (faults.healed) return;
  const place = "place" in misfortune ? places.all[misfortune.place] : undefined;
  switch (misfortune.type) {
    case "crash":
      if (place?.process !== null) tally.count("crash");
      return place && places.crash(place, misfortune.downMs);
    case "leave":
      return place && places.leave(place, misfortune.graceMs, misfortune.downMs);
    case "pause":
      return place && places.pause(place, misfortune.forMs, misfortune.clockStops);
    case "clockJump":
      return place && places.jumpClock(place, misfortune.byMs);
    case "outage":
      tally.count("outage");
      faults.outageUntilMs = timeline.nowMs() + misfortune.forMs;
      return undefined;
    default:
      return misfortune satisfies never;
  }
}

/** Runs that could move and do not, and children that nobody wants. */
async function checkSleepers(world: World, settle: ScheduleOptions["hop"], areAsleep: boolean): Promise<void> {
  const { witness, checker, store, state } = world;
  const nowMs = store.now();
  for (const stuck of await findStuck({ ...world, settle, nowMs, patienceMs: areAsleep ? 0 : patienceMs })) witness.violate("I18", stuck);
  if (!areAsleep) return;
  for (const row of findOrphans({ state, witness, models: checker.models, chains: checker.chains }))
    witness.violate(
      "I19",
      `run ${row.key} goes on although its parent has ended, or does not want it:\n${await describeRun({ ...world, settle, nowMs }, row)}`,
    );
}

/** Sends every open run all messages that it could wait for, so that whatever does not end then is stuck; gives poisoned ones another chance. */
async function feed(world: World): Promise<void> {
  const { places, state, store, tally } = world;
  const open = [...state.runs.values()].filter((row) => isOpen(row.status));
  const ops = open.flatMap((row) =>
    receivesOf(programOf(world, row)).flatMap((count, message) =>
      Array.from({ length: count }, () => ({ type: "send", waitMs: 0, workflowId: row.workflowId, message, key: null }) as const),
    ),
  );
  const parked = open.filter((row) => row.status === "parked");
  tally.count("poisoned", parked.length);
  await store.apply(parked.map(({ runId }) => ({ type: "resume", target: { runId } }) as const));
  if (ops.length > 0) places.addClient({ client: `f${places.all.length}`, ops, next: 0, begun: false });
}

/** What a run executes: its input, wherever that is by now. */
function programOf({ state, codec }: World, row: RunRow): Program {
  // A cancel that its chain had not taken comes before the start of a run that goes on with it.
  const line = state.histories.get(row.key)?.find(({ event }) => readEnvelope(event).kind === "started");
  const waiting = state.inboxes.get(row.chain)?.rows.findLast((item) => item.kind === "start" && !item.consumed);
  const text = textOf((line ?? waiting)?.payload ?? null);
  return text === null ? [] : (codec.decode(text) as Program);
}

const describeTasks = ({ state }: World): string =>
  [...state.tasks.values()]
    .map((task) => `${task.name} of run ${task.runKey}, owner ${task.owner}, due ${task.dueAt}, ${task.options}`)
    .join(", ");

const describeScripts = (places: Places): string =>
  places.all
    .flatMap((place) => place.scripts.map((script) => `${script.client} on ${place.name} at ${script.next} of ${script.ops.length}`))
    .join(", ");
