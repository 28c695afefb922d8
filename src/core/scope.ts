/**
 * A region of workflow code that is cancelled as one. Scopes form a tree under the run's root; a shielded scope is not reached by what cancels
 * those above it.
 */
export class Scope {
  readonly parent: Scope | undefined;
  readonly shielded: boolean;
  /** The error with which its operations reject once it is cancelled. */
  cancelled: Error | undefined;
  /** True once its function has settled. */
  closed = false;
  /** Counts the operations that were started through it: a scope that used none of its own ctx is a mistake. */
  used = 0;
  /** How many of them it waits for. */
  pending = 0;
  readonly #children = new Set<Scope>();
  #controller: AbortController | undefined;
  readonly #listeners = new Set<unknown>();

  constructor(parent: Scope | undefined, shielded: boolean) {
    this.parent = parent;
    this.shielded = shielded;
    if (parent !== undefined) {
      parent.#children.add(this);
      parent.used++;
      if (!shielded) this.cancelled = parent.cancelled;
    }
  }

  /** The scope's AbortSignal, made when it is first asked for: most workflows never do. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      const signal = this.#controller.signal;
      const add = signal.addEventListener.bind(signal);
      const remove = signal.removeEventListener.bind(signal);
      // Someone who listens is reached by a cancel: such code does not wait for nothing.
      signal.addEventListener = (...parameters: Parameters<typeof add>) => {
        this.#listeners.add(parameters[1]);
        add(...parameters);
      };
      signal.removeEventListener = (...parameters: Parameters<typeof remove>) => {
        this.#listeners.delete(parameters[1]);
        remove(...parameters);
      };
      if (this.cancelled !== undefined) this.#controller.abort(this.cancelled);
    }
    return this.#controller.signal;
  }

  get listened(): boolean {
    return (this.#listeners.size > 0 && this.cancelled === undefined) || [...this.#children].some((child) => child.listened);
  }

  /** Marks this scope and those below it, except behind shields, in the order in which they were opened; answers those that were not cancelled before. */
  cancel(error: Error): Scope[] {
    const reached: Scope[] = [];
    this.#collect(error, reached);
    return reached;
  }

  /** Fires the listeners. Separate from `cancel`: every scope is marked before any user code runs. */
  abort(): void {
    this.#controller?.abort(this.cancelled);
  }

  /** Ends this scope and those below it, except behind shields, and answers them: code that was left behind in one must not go on unseen. */
  close(): Set<Scope> {
    const family = new Set<Scope>([this]);
    // A set visits what is added while it is walked.
    for (const scope of family) {
      scope.closed = true;
      for (const child of scope.#children) if (!child.shielded) family.add(child);
    }
    if (this.parent !== undefined) this.parent.#children.delete(this);
    return family;
  }

  #collect(error: Error, reached: Scope[]): void {
    if (this.cancelled === undefined) {
      this.cancelled = error;
      reached.push(this);
    }
    for (const child of this.#children) if (!child.shielded) child.#collect(error, reached);
  }
}
