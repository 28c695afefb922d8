import { readableOf } from "../api/run-views.js";
import type { Handle, StreamReader } from "../api/types.js";
import type { Subject, TestClock } from "./test-clock.js";

/** A handle that knows of the test's clock: what waits for a run moves it, everything else has it stand still. */
export function testHandle<R>(handle: Handle<R>, clock: TestClock): Handle<R> {
  const { id } = handle;
  const describe = (): ReturnType<Handle<R>["describe"]> => handle.describe();
  const of = (what: string): Subject => ({ what: `${what} run "${id}"`, describe });
  return {
    id,
    result: (wait) => clock.waiting(of("the end of"), handle.result(wait)),
    update: (def, ...args) => clock.waiting(of(`the answer to "${def.name}" of`), handle.update(def, ...args)),
    watch: (state, options) => waitingEach(clock, of(`a change of "${state.name}" of`), handle.watch(state, options)),
    stream: (stream, options) => testReader(clock, of(`stream "${stream.name}" of`), handle.stream(stream, options)),
    describe: () => clock.briefly(describe),
    send: (message, ...args) => clock.briefly(() => handle.send(message, ...args)),
    cancel: (reason) => clock.briefly(() => handle.cancel(reason)),
    terminate: (reason) => clock.briefly(() => handle.terminate(reason)),
    read: (state) => clock.briefly(() => handle.read(state)),
    history: () => clock.briefly(() => handle.history()),
    export: () => clock.briefly(() => handle.export()),
    resume: () => clock.briefly(() => handle.resume()),
  };
}

function testReader<C>(clock: TestClock, subject: Subject, reader: StreamReader<C>): StreamReader<C> {
  const entries = (): ReturnType<StreamReader<C>["entries"]> => waitingEach(clock, subject, reader.entries());
  return {
    entries,
    readable: () => readableOf(entries()),
    [Symbol.asyncIterator]: () => waitingEach(clock, subject, reader)[Symbol.asyncIterator](),
  };
}

function waitingEach<T>(clock: TestClock, subject: Subject, values: AsyncIterable<T>): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = values[Symbol.asyncIterator]();
      return {
        next: () => clock.waiting(subject, iterator.next()),
        return: async (value: unknown) => (await iterator.return?.(value)) ?? { done: true, value },
      };
    },
  };
}
