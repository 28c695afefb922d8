import { beforeEach, describe, expect } from "vitest";
import type { Backend, Client, ConnectOptions, Engine, Handle, LaunchOptions, Logger, WaitingFor } from "perdure";
import { connectWith, launchWith } from "../../src/api/launch.js";
import type { Application } from "./application.js";
import { backends, type TestBackend, type TestStore } from "./backends.js";
import { virtualTime, type EngineRuntime, type VirtualTime } from "./virtual-time.js";

export interface LogEntry {
  readonly level: keyof Logger;
  readonly message: string;
  readonly data: object | undefined;
}

/** What a test of the whole engine has at hand. Everything is new for every test; what it opened is closed after it. */
export interface Lab {
  readonly name: string;
  readonly time: VirtualTime;
  readonly backend: Backend;
  /** What engines logged, in order. */
  readonly logs: LogEntry[];
  launch(options?: Omit<LaunchOptions, "backend">): Promise<Engine>;
  connect(options?: Omit<ConnectOptions, "backend">): Promise<Client>;
  /** Closes at once, giving bodies no time unless told to. */
  close(engine: Client, graceMs?: number): Promise<void>;
  /** Closes, and launches anew on the same data. */
  restart(engine: Engine, options: Omit<LaunchOptions, "backend">): Promise<Engine>;
  /** Ends an engine as `kill -9` would: without a word to anybody. */
  kill(engine: Engine): void;
  /** Stops an engine where it is, as SIGSTOP would, until `resume`. */
  pause(engine: Engine): void;
  resume(engine: Engine): Promise<void>;
  /** Until the run waits for this, and nobody drives it. */
  waits(handle: Handle<unknown>, kind: WaitingFor["kind"], name?: string): Promise<void>;
  /** Everything that is stored, as text. */
  dump(): Promise<string>;
  /** The application on the backend's database, made at the first call. */
  application(): Promise<Application>;
}

/** For what hangs. A night of polling is some ten thousand questions to a server, which may have to share its processor with much else. */
const fuseMs = 60_000;

/**
 * The same tests on every backend. After each, engines are closed, and it fails if a store stays open or a timer armed.
 */
export function onEveryBackend(theme: string, tests: (lab: Lab) => void, only: readonly TestBackend[] = backends): void {
  for (const backend of only) {
    backend.declare();
    describe(`${theme}, on ${backend.name}`, { timeout: fuseMs }, () => tests(createLab(backend)));
  }
}

/** The same on those that an application can share a database with. */
export const onEverySqlBackend = (theme: string, tests: (lab: Lab) => void): void =>
  onEveryBackend(
    theme,
    tests,
    backends.filter(({ name }) => name !== "memory"),
  );

interface Opened {
  readonly client: Client;
  readonly runtime: EngineRuntime;
  killed: boolean;
}

interface State {
  readonly store: TestStore;
  readonly backend: Backend;
  readonly time: VirtualTime;
  readonly logs: LogEntry[];
  readonly opened: Opened[];
  application: Application | undefined;
  /** The stores that are open, by the runtime that they were opened with. */
  readonly open: Map<object, () => Promise<void>>;
}

function createLab(kind: TestBackend): Lab {
  let state: State;
  beforeEach(async (context) => {
    const time = virtualTime();
    const store = await kind.create(time);
    if (store === undefined) return context.skip();
    state = createState(time, store);
    return () => tearDown(state);
  });

  const enter = <C extends Client>(client: C, runtime: EngineRuntime): C => {
    state.opened.push({ client, runtime, killed: false });
    return client;
  };
  const find = (engine: Client): Opened => {
    const one = state.opened.find(({ client }) => client === engine);
    if (one === undefined) throw new Error("not an engine of this test");
    return one;
  };
  const launch = async (options: Omit<LaunchOptions, "backend"> = {}): Promise<Engine> => {
    const runtime = state.time.runtime();
    return enter(await launchWith({ logger: loggerInto(state.logs), ...options, backend: state.backend }, runtime), runtime);
  };
  const close = (engine: Client, graceMs = 0): Promise<void> => state.time.run(engine.close({ grace: graceMs }));
  return {
    name: kind.name,
    get time() {
      return state.time;
    },
    get backend() {
      return state.backend;
    },
    get logs() {
      return state.logs;
    },
    launch,
    async connect(options = {}) {
      const runtime = state.time.runtime();
      return enter(await connectWith({ logger: loggerInto(state.logs), ...options, backend: state.backend }, runtime), runtime);
    },
    close,
    async restart(engine, options) {
      await close(engine);
      return launch(options);
    },
    pause: (engine) => find(engine).runtime.pause(),
    resume: (engine) => find(engine).runtime.resume(),
    kill(engine) {
      const one = find(engine);
      one.killed = true;
      one.runtime.kill();
    },
    waits: (handle, what, name) =>
      state.time.until(async () => {
        const info = await handle.describe();
        return info.status !== "running" && info.waitingFor.some((one) => one.kind === what && (name === undefined || one.name === name));
      }),
    dump: () => state.store.dump(),
    async application() {
      state.application ??= await state.store.application?.();
      if (state.application === undefined) throw new Error("there is no application on this backend");
      return state.application;
    },
  };
}

function createState(time: VirtualTime, store: TestStore): State {
  const open = new Map<object, () => Promise<void>>();
  const backend: Backend = {
    kind: store.backend.kind,
    async open(runtime) {
      const inner = await store.backend.open(runtime);
      const close = inner.close.bind(inner);
      open.set(inner, close);
      inner.close = () => {
        open.delete(inner);
        return close();
      };
      return inner;
    },
  };
  return { store, backend, time, logs: [], opened: [], application: undefined, open };
}

async function tearDown(state: State): Promise<void> {
  const { time, opened, open, store } = state;
  try {
    const killed = opened.filter((one) => one.killed);
    for (const one of opened) if (!one.killed) await time.run(one.client.close({ grace: 0 }));
    // A store of a process that was killed is closed by nobody; an engine that was closed leaves neither store nor timer behind.
    expect(open.size, "stores left open").toBe(killed.length);
    expect(time.timers(), "timers left armed").toBe(0);
  } finally {
    for (const close of open.values()) await close();
    await state.application?.close();
    await store.dispose();
  }
}

function loggerInto(logs: LogEntry[]): Logger {
  const write =
    (level: keyof Logger) =>
    (message: string, data?: object): void =>
      void logs.push({ level, message, data });
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}
