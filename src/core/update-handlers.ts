import type { MachineOptions } from "./machine-options.js";
import type { UpdateAnswer } from "./turn-result.js";

/** What a workflow answers updates with. */
export interface UpdateHandler {
  readonly handle: (input: any) => unknown;
  readonly validate: ((input: any) => void) | undefined;
}

export class UpdateHandlers {
  readonly #handlers = new Map<string, UpdateHandler>();
  /** Accepted updates whose answer is not there yet. */
  busy = 0;

  set(name: string, handler: UpdateHandler): void {
    this.#handlers.set(name, handler);
  }

  has(name: string): boolean {
    return this.#handlers.has(name);
  }

  /** Throws what the validator throws. */
  validate(name: string, value: unknown): void {
    this.#handlers.get(name)?.validate?.(value);
  }

  /** Begins to answer; undefined if nobody would. The handler is called at once: what it does synchronously belongs to this very moment of the turn. */
  answer(
    name: string,
    id: string,
    value: unknown,
    codec: Pick<MachineOptions, "encode" | "encodeError">,
  ): Promise<UpdateAnswer> | undefined {
    const handler = this.#handlers.get(name);
    if (handler === undefined) return undefined;
    this.busy++;
    return answerOf(handler, name, id, value, codec);
  }
}

async function answerOf(
  { handle }: UpdateHandler,
  name: string,
  id: string,
  value: unknown,
  { encode, encodeError }: Pick<MachineOptions, "encode" | "encodeError">,
): Promise<UpdateAnswer> {
  try {
    return { id, status: "completed", text: encode(await handle(value), `the answer of update "${name}"`) };
  } catch (error) {
    return { id, status: "failed", text: encodeError(error) };
  }
}
