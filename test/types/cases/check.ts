/** Are these the same type, down to `any` and `readonly`? */
export type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only if its argument is true. @example check<Same<typeof value, string>>() */
export function check<_Claim extends true>(): void {
  // The compiler has done the work.
}
