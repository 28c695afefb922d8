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
  readonly #children: Scope[] = [];
  #controller: AbortController | undefined;
  #listeners = 0;

  constructor(parent: Scope | undefined, shielded: boolean) {
    this.parent = parent;
    this.shielded = shielded;
    if (parent !== undefined) {
      parent.#children.push(this);
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
      // Someone who listens is reached by a cancel: such code does not wait for nothing.
      signal.addEventListener = (...parameters: Parameters<typeof add>) => {
        this.#listeners++;
        add(...parameters);
      };
      if (this.cancelled !== undefined) this.#controller.abort(this.cancelled);
    }
    return this.#controller.signal;
  }

  get listened(): boolean {
    return (this.#listeners > 0 && this.cancelled === undefined) || this.#children.some((child) => child.listened);
  }

  /** Marks this scope and those below it, except behind shields, in the order in which they were opened; answers those that were not cancelled before. */
  cancel(error: Error): Scope[] {
    const reached: Scope[] = [];
    this.#collect(error, reached);
    return reached;
  }

  /** This scope and those below it, except behind shields. */
  family(): Set<Scope> {
    const family = new Set<Scope>([this]);
    // A set visits what is added while it is walked.
    for (const scope of family) for (const child of scope.#children) if (!child.shielded) family.add(child);
    return family;
  }

  /** Fires the listeners. Separate from `cancel`: every scope is marked before any user code runs. */
  abort(): void {
    this.#controller?.abort(this.cancelled);
  }

  close(): void {
    this.closed = true;
    if (this.parent === undefined) return;
    const siblings = this.parent.#children;
    siblings.splice(siblings.indexOf(this), 1);
  }

  #collect(error: Error, reached: Scope[]): void {
    if (this.cancelled === undefined) {
      this.cancelled = error;
      reached.push(this);
    }
    for (const child of this.#children) if (!child.shielded) child.#collect(error, reached);
  }
}
