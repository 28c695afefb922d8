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

  /** Begins to answer; undefined if nobody would. */
  run(name: string, value: unknown): Promise<unknown> | undefined {
    const handler = this.#handlers.get(name);
    if (handler === undefined) return undefined;
    this.busy++;
    // Not `await`: what a synchronous handler does belongs to this very moment of the turn.
    try {
      return Promise.resolve(handler.handle(value));
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }
}
