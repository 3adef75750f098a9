/** The communicator's slots that a graph needs, in the order of its layers: equal on all ranks. */
export class SlotTable {
  readonly #worldSize: number;
  readonly #slots: { readonly name: string; readonly bytes: readonly number[] }[] = [];

  constructor(worldSize: number) {
    this.#worldSize = worldSize;
  }

  /** Reserves a slot in which rank r publishes `bytes(r)` bytes; returns its index. */
  add(name: string, bytes: (rank: number) => number): number {
    this.#slots.push({ name, bytes: Array.from({ length: this.#worldSize }, (_, rank) => bytes(rank)) });
    return this.#slots.length - 1;
  }

  /** `[slot][rank]`, as the communicator takes it. */
  get bytes(): readonly (readonly number[])[] {
    return this.#slots.map((slot) => slot.bytes);
  }

  /** Bytes that `rank` publishes when every slot is published once. */
  total(rank: number): number {
    return this.#slots.reduce((sum, slot) => sum + (slot.bytes[rank] as number), 0);
  }
}
