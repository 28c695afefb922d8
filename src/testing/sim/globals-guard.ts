/** Replaces what would leak real time, chance or I/O into a schedule by stubs that throw, so that a leak fails at once. Answers how to put them back. */
export function forbidGlobals(onLeak: (name: string) => void): () => void {
  const restored: (() => void)[] = [];
  const forbid = (owner: object, key: string): void => {
    const original = Object.getOwnPropertyDescriptor(owner, key);
    if (original === undefined) return;
    const stub = (): never => {
      onLeak(key);
      throw new Error(`simulation: ${key} was called; take it from the Runtime`);
    };
    Object.defineProperty(owner, key, { value: stub, configurable: true, writable: true, enumerable: original.enumerable === true });
    restored.push(() => Object.defineProperty(owner, key, original));
  };
  forbid(Date, "now");
  forbid(Math, "random");
  forbid(crypto, "randomUUID");
  for (const name of ["setTimeout", "setInterval", "fetch"]) forbid(globalThis, name);
  return () => {
    for (const restore of restored.reverse()) restore();
  };
}
