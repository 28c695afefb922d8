/** The other side of `threaded-store.ts`: what runs in the thread. It serves one store, one call after the other as they come. */
import { parentPort, workerData } from "node:worker_threads";
import { StoreFailure } from "../../backend/index.js";
import { PerdureError } from "../../errors.js";
import { systemRuntime } from "../../platform/runtime.js";
import { loadDriver } from "./drivers/load-driver.js";
import { openSqliteStore } from "./store.js";
import type { Answer, Call, Failure, ThreadOptions } from "./threaded-store.js";

const port = parentPort;
if (port !== null) {
  const options = workerData as ThreadOptions;
  const send = (answer: Answer): void => port.postMessage(answer);
  const opening = Promise.resolve().then(() => openSqliteStore(systemRuntime(), { ...options, driver: loadDriver(options.driver) }));
  opening.then(
    (store) => {
      store.onHint(() => send({ kind: "hint" }));
      send({ kind: "open", file: store.file });
    },
    (error: unknown) => send({ kind: "broken", failure: failureOf(error) }),
  );
  port.on("message", (call: Call) => {
    opening
      .then((store) => (store[call.method].bind(store) as (...args: readonly unknown[]) => Promise<unknown>)(...call.args))
      .then(
        (value) => {
          send({ kind: "done", id: call.id, value });
          // Nothing may be left that keeps the thread: its process wants to end.
          if (call.method === "close") port.close();
        },
        (error: unknown) => send({ kind: "failed", id: call.id, failure: failureOf(error) }),
      );
  });
}

/** Errors lose their class on the way between threads, so they go as data. */
function failureOf(error: unknown): Failure {
  const { message } = error instanceof Error ? error : new Error(String(error));
  if (error instanceof StoreFailure) return { code: error.code, message, outcome: error.outcome, transient: error.transient };
  if (error instanceof PerdureError) return { code: error.code, message };
  return { code: "internal", message: `The store's thread failed in an unforeseen way: ${message}` };
}
