import type { Client } from "../../api/client-types.js";
import type { Logger } from "../../api/context-types.js";
import { connectWith, launchWith } from "../../api/launch.js";
import { isPerdureError } from "../../errors.js";
import type { PayloadCodec } from "../../codec/codec.js";
import { runScript, type ClientScript } from "./client-script.js";
import type { ScheduleConfig } from "./config.js";
import { createHost } from "./bodies.js";
import { createDefinitions } from "./interpreter.js";
import { Outsiders } from "./outsiders.js";
import type { Prng } from "./prng.js";
import { createSimBackend, type Network } from "./sim-store.js";
import type { Tally } from "./tally.js";
import { createVirtualProcess, type VirtualProcess } from "./virtual-process.js";
import type { Witness } from "./witness.js";

/** Where processes live one after another. */
export interface Place {
  readonly name: string;
  readonly works: boolean;
  readonly scripts: ClientScript[];
  process: VirtualProcess | null;
  client: Client | null;
  lives: number;
  /** Nobody starts a process here again. */
  abandoned: boolean;
}

export interface PlacesOptions {
  readonly network: Network;
  readonly config: ScheduleConfig;
  readonly prng: Prng;
  readonly witness: Witness;
  readonly tally: Tally;
}

/** The processes of a schedule, and what can be done to them. */
export class Places {
  readonly all: Place[] = [];
  readonly #options: PlacesOptions;
  readonly #outsiders: Outsiders;

  constructor(options: PlacesOptions) {
    this.#options = options;
    const { network, witness } = options;
    this.#outsiders = new Outsiders({ timeline: network.timeline, actor: network.actor, witness, anybody: () => this.#anybody() });
    const { config, prng } = options;
    for (let index = 0; index < config.workers; index++) this.#add(`w${index}`, true);
    for (let index = 0; index < config.clientProcesses; index++) this.#add(`p${index}`, false);
    for (const script of config.workload.scripts) prng.pick(this.all).scripts.push(script);
  }

  boot(place: Place): void {
    if (place.process !== null || place.abandoned) return;
    const { network, config, prng, witness, tally } = this.#options;
    place.lives++;
    const name = `${place.name}.${place.lives}`;
    const index = this.all.indexOf(place);
    const clock = { skewMs: config.skewMs[index] ?? 0, drift: config.drift[index] ?? 0, suspendedMs: 0 };
    const process = createVirtualProcess({ name, timeline: network.timeline, prng: prng.fork(name), clock });
    place.process = process;
    const common = {
      backend: createSimBackend(network, process),
      logger: createLogger(tally),
      codec: createCodec(process, config.slowCodec),
    };
    const definitions = createDefinitions(createHost(process, witness, this.#outsiders));
    const opened: Promise<Client> = place.works
      ? launchWith({ ...common, ...onlyOf(definitions, config.abilities[index]), ...config.settings, guard: false }, process.runtime)
      : connectWith(common, process.runtime);
    opened.then(
      (client) => {
        place.client = client;
        for (const script of place.scripts) void runScript(client, process, script, witness);
      },
      (error: unknown) => {
        tally.count("bootFailed");
        if (!isPerdureError(error, "backend_unavailable")) witness.violate("boot", `${name} did not start: ${String(error)}`);
        this.crash(place, 500);
      },
    );
  }

  /** Kills the process here and starts another one after `downMs`. */
  crash(place: Place, downMs: number): void {
    if (place.process === null) return;
    const { network } = this.#options;
    place.process.crash();
    place.process = null;
    place.client = null;
    network.timeline.schedule(network.actor, `${place.name} restarts`, downMs, () => this.boot(place));
  }

  crashProcess(process: VirtualProcess): void {
    const place = this.all.find((candidate) => candidate.process === process);
    if (place !== undefined) this.crash(place, this.#options.prng.logarithmic(1, 5000));
  }

  /** Leaves by the front door; a new process comes after `downMs`. */
  leave(place: Place, graceMs: number, downMs: number): void {
    const { process, client } = place;
    if (process === null || client === null || process.actor.state !== "up") return;
    const { tally, witness } = this.#options;
    tally.count("leave");
    client.close({ grace: graceMs }).then(
      () => {
        tally.count("left");
        if (place.process === process) this.crash(place, downMs);
      },
      (error: unknown) => witness.violate("close", `${process.name} did not close: ${String(error)}`),
    );
  }

  pause(place: Place, forMs: number, clockStops: boolean): void {
    const { process } = place;
    if (process === null || process.actor.state !== "up") return;
    const { network, tally } = this.#options;
    tally.count(clockStops ? "suspend" : "pause");
    process.pause({ clockStops });
    network.timeline.schedule(network.actor, `${place.name} goes on`, forMs, () => process.resume());
  }

  jumpClock(place: Place, byMs: number): void {
    if (place.process === null) return;
    this.#options.tally.count("clockJump");
    place.process.clock.skewMs += byMs;
  }

  /** Ends all pauses and starts whatever is down. */
  heal(): void {
    const { config, prng } = this.#options;
    // Somebody who never comes back: the others must take over.
    const spared = this.all.find((place) => place.works && place.scripts.length === 0 && place !== this.all[0]);
    if (spared !== undefined && config.workers > 1 && prng.chance(0.4)) {
      spared.abandoned = true;
      this.crash(spared, 0);
    }
    for (const place of this.all) {
      if (place.process?.actor.state === "paused") place.process.resume();
      this.boot(place);
    }
  }

  /** Adds a process for a client. */
  addClient(script: ClientScript): void {
    const place = this.#add(script.client, false);
    place.scripts.push(script);
    this.boot(place);
  }

  #anybody(): { readonly client: Client; readonly process: VirtualProcess } | undefined {
    const up = this.all.flatMap(({ client, process }) => (client !== null && process?.actor.state === "up" ? [{ client, process }] : []));
    return up.length === 0 ? undefined : this.#options.prng.pick(up);
  }

  #add(name: string, works: boolean): Place {
    const place: Place = { name, works, scripts: [], process: null, client: null, lives: 0, abandoned: false };
    this.all.push(place);
    return place;
  }
}

type Definitions = ReturnType<typeof createDefinitions>;

function onlyOf({ workflows, activities }: Definitions, ability: ScheduleConfig["abilities"][number] | undefined): Partial<Definitions> {
  if (ability === "workflows") return { workflows };
  return ability === "activities" ? { activities } : { workflows, activities };
}

/** A link that takes its time and leaves everything as it is: brings the engine's asynchronous paths to light, and payloads stay readable. */
function createCodec(process: VirtualProcess, slow: boolean): readonly PayloadCodec[] {
  if (!slow) return [];
  const leave = (bytes: Uint8Array): Promise<Uint8Array> => process.delay(1 + process.runtime.random() * 5).then(() => bytes);
  return [{ name: "slow", optional: true, encode: leave, decode: leave }];
}

function createLogger(tally: Tally): Logger {
  return {
    debug: () => {},
    info: () => {},
    warn: () => tally.count("log:warn"),
    error: () => tally.count("log:error"),
  };
}
