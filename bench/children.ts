import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** What processes of the benchmark tell one another. */
export interface Message {
  readonly type: string;
}

/** The other end, seen from here. */
export interface Post {
  tell(message: Message): void;
  /** The next message of this type; those of other types wait for their own readers. Rejects if the other end is gone. */
  hear<M extends Message>(type: M["type"]): Promise<M>;
  /** Calls back for every message of this type from now on, in the place of `hear`. */
  onEach<M extends Message>(type: M["type"], callback: (message: M) => void): void;
}

export interface Child extends Post {
  readonly pid: number;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** Asks the role to end by `{ type: "stop" }`; resolves when the process is gone. */
  stop(): Promise<void>;
}

/** Either end of the pipe between parent and child. */
export interface Channel {
  on(event: string, listener: (...args: any[]) => void): unknown;
  send(message: Message, callback: () => void): void;
}

/** Sorts incoming messages by type, and keeps those that nobody asked for yet. */
export function openPost(channel: Channel, goneEvent: "exit" | "disconnect"): Post {
  const waiting = new Map<string, Message[]>();
  const readers = new Map<string, { resolve(message: Message): void; reject(error: Error): void }[]>();
  const callbacks = new Map<string, (message: Message) => void>();
  let gone: Error | undefined;
  channel.on("message", (raw: unknown) => {
    const message = raw as Message;
    const callback = callbacks.get(message.type);
    if (callback !== undefined) return callback(message);
    const reader = readers.get(message.type)?.shift();
    if (reader !== undefined) return reader.resolve(message);
    waiting.set(message.type, [...(waiting.get(message.type) ?? []), message]);
  });
  channel.on(goneEvent, (...detail: readonly unknown[]) => {
    gone = new Error(`the other process is gone (${goneEvent} ${detail.join(" ")})`);
    for (const reader of [...readers.values()].flat()) reader.reject(gone);
    readers.clear();
  });
  return {
    // A message to a process that is just being killed is lost, which is what the kill is for.
    tell: (message) => channel.send(message, () => {}),
    hear: <M extends Message>(type: M["type"]) =>
      new Promise<M>((resolve, reject) => {
        const early = waiting.get(type)?.shift();
        if (early !== undefined) return resolve(early as M);
        if (gone !== undefined) return reject(gone);
        readers.set(type, [...(readers.get(type) ?? []), { resolve: (message) => resolve(message as M), reject }]);
      }),
    onEach: (type, callback) => void callbacks.set(type, callback as (message: Message) => void),
  };
}

/** Starts this file with these JSON-able arguments. Its output goes to our standard error. */
export function spawnProcess(entry: URL, args: unknown, nodeOptions: readonly string[]): Child {
  const child = fork(fileURLToPath(entry), [JSON.stringify(args)], { execArgv: [...nodeOptions], stdio: ["ignore", 2, 2, "ipc"] });
  const channel: Channel = {
    on: (event, listener) => child.on(event, listener),
    send: (message, callback) => void child.send(message, callback),
  };
  const post = openPost(channel, "exit");
  const gone = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  };
  return {
    ...post,
    pid: child.pid ?? Number.NaN,
    async kill() {
      child.kill("SIGKILL");
      await gone();
    },
    async stop() {
      post.tell({ type: "stop" });
      await gone();
    },
  };
}
