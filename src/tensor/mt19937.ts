const STATE_SIZE = 624;
const SHIFT_SIZE = 397;

/**
 * The Mersenne Twister of Matsumoto and Nishimura (1998) with 32-bit output, seeded as their `init_genrand`.
 */
export class Mt19937 {
  readonly #state = new Uint32Array(STATE_SIZE);
  #next = STATE_SIZE;

  constructor(seed: number) {
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < STATE_SIZE; i++) {
      const previous = state[i - 1] as number;
      state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
    }
  }

  /** The next whole number in [0, 2^32). */
  next(): number {
    if (this.#next === STATE_SIZE) this.#refill();
    let y = this.#state[this.#next++] as number;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #refill(): void {
    const state = this.#state;
    for (let i = 0; i < STATE_SIZE; i++) {
      const upper = (state[i] as number) & 0x80000000;
      const lower = (state[(i + 1) % STATE_SIZE] as number) & 0x7fffffff;
      const mixed = (upper | lower) >>> 1;
      const twist = lower & 1 ? 0x9908b0df : 0;
      state[i] = (state[(i + SHIFT_SIZE) % STATE_SIZE] as number) ^ mixed ^ twist;
    }
    this.#next = 0;
  }
}
