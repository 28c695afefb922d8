import type { ActivityContext } from "../api/context-types.js";
import type { Stream } from "../api/definition-types.js";
import { PerdureError } from "../errors.js";
import type { BodyIo } from "./step-runner.js";

/** What a body returns to leave its outcome to somebody outside. */
export const completedLater: unique symbol = Symbol("completed later");

export interface ActivityIoOptions {
  readonly io: BodyIo;
  readonly token: string;
  readonly lastHeartbeat: unknown;
  readonly onHeartbeat: (details: unknown) => void;
  readonly mayCompleteLater: boolean;
}

/** What an activity is handed: what every body is, and what concerns the queue. */
export class ActivityIo implements ActivityContext {
  readonly #options: ActivityIoOptions;
  constructor(options: ActivityIoOptions) {
    this.#options = options;
  }
  get signal(): AbortSignal {
    return this.#options.io.signal;
  }
  get attempt(): number {
    return this.#options.io.attempt;
  }
  get idempotencyKey(): string {
    return this.#options.io.idempotencyKey;
  }
  get token(): string {
    return this.#options.token;
  }
  get lastHeartbeat(): unknown {
    return this.#options.lastHeartbeat;
  }
  get heartbeat(): (details?: unknown) => void {
    const { onHeartbeat } = this.#options;
    return (details) => onHeartbeat(details);
  }
  get completeLater(): () => never {
    const { mayCompleteLater } = this.#options;
    return () => {
      if (!mayCompleteLater)
        throw new PerdureError(
          "context_misuse",
          "A local activity cannot be completed from outside: it has no place in the queue to wait in.",
        );
      return completedLater as never;
    };
  }
  get write(): <C>(stream: Stream<C>, chunk: NoInfer<C>) => Promise<void> {
    return this.#options.io.write;
  }
  get written(): (stream: Stream<any>) => Promise<number> {
    return this.#options.io.written;
  }
}
