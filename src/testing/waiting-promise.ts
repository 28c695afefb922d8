/**
 * A promise that says when somebody begins to wait for it. A test may ask for a result long before it awaits it, and do other things in between: only while it
 * awaits it the clock is to move by itself.
 */
export class WaitingPromise<T> extends Promise<T> {
  /** What is made of it by `then` is an ordinary promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  readonly #begin: () => void;
  #begun = false;

  /** `begin` is called once; the callback it gets rejects this promise, whatever becomes of the other one. */
  constructor(promise: Promise<T>, begin: (fail: (error: Error) => void) => void) {
    let fail!: (error: Error) => void;
    super((resolve, reject) => {
      fail = reject;
      promise.then(resolve, reject);
    });
    this.#begin = () => begin(fail);
  }

  // oxlint-disable-next-line unicorn/no-thenable -- to be told is the purpose of this class
  override then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    if (!this.#begun) {
      this.#begun = true;
      this.#begin();
    }
    return super.then(onFulfilled, onRejected);
  }
}
