/**
 * A small seeded generator (xoshiro128**): the same run draws the same numbers on every replay. Not for secrets. All 128 bits of its state come from the
 * seed: with 32, two runs out of a hundred thousand would draw the same UUIDs.
 */
export class SeededRandom {
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 0;
  #seed: string | undefined;

  constructor(seed: string) {
    this.#seed = seed;
  }

  /** 32 random bits as an unsigned integer. */
  bits(): number {
    // Most runs never draw.
    if (this.#seed !== undefined) this.#mix(this.#seed);
    const result = Math.imul(rotate(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotate(this.#d, 11);
    return result;
  }

  /** A number in [0, 1) with 53 random bits. */
  next(): number {
    return ((this.bits() >>> 5) * 67_108_864 + (this.bits() >>> 6)) / 9_007_199_254_740_992;
  }

  /** A version 4 UUID. */
  uuid(): string {
    const hex = Array.from({ length: 4 }, () => this.bits().toString(16).padStart(8, "0")).join("");
    const variant = ((Number.parseInt(hex.charAt(16), 16) & 3) | 8).toString(16);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
  }

  /** Four lanes over the text, each mixed into the next, and a final avalanche of each (the scheme of MurmurHash3). */
  #mix(seed: string): void {
    let [a, b, c, d] = [0x239b961b, 0xab0e9789, 0x38b34ae5, 0xa1e38b93];
    for (let index = 0; index < seed.length; index++) {
      const code = seed.charCodeAt(index);
      a = (Math.imul(rotate(a ^ Math.imul(code, 0x239b961b), 15), 0xab0e9789) + b) | 0;
      b = (Math.imul(rotate(b ^ Math.imul(code, 0xab0e9789), 16), 0x38b34ae5) + c) | 0;
      c = (Math.imul(rotate(c ^ Math.imul(code, 0x38b34ae5), 17), 0xa1e38b93) + d) | 0;
      d = (Math.imul(rotate(d ^ Math.imul(code, 0xa1e38b93), 18), 0x239b961b) + a) | 0;
    }
    this.#a = finish(a);
    this.#b = finish(b);
    this.#c = finish(c);
    // One odd bit: the state of all zeros would stay so.
    this.#d = finish(d) | 1;
    this.#seed = undefined;
  }
}

const rotate = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));

function finish(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
