import { sum } from '../base/numbers.js';
/** Where layers reserve the slots that they exchange through. */
export interface SlotReserver {
  /** Reserves a slot in which rank r publishes `bytes(r)` bytes; returns its index. */
  add(name: string, bytes: (rank: number) => number): number;
}

/** The communicator's slots that a graph needs, in the order of its layers: equal on all ranks. */
export class SlotTable implements SlotReserver {
  readonly #worldSize: number;
  readonly #slots: { readonly name: string; readonly bytes: readonly number[] }[] = [];

  constructor(worldSize: number) {
    this.#worldSize = worldSize;
  }

  add(name: string, bytes: (rank: number) => number): number {
    this.#slots.push({ name, bytes: Array.from({ length: this.#worldSize }, (_, rank) => bytes(rank)) });
    return this.#slots.length - 1;
  }

  /** For a graph that the first `ranks` ranks run: the others publish nothing. */
  amongFirst(ranks: number): SlotReserver {
    return { add: (name, bytes) => this.add(name, (rank) => (rank < ranks ? bytes(rank) : 0)) };
  }

  /** `[slot][rank]`, as the communicator takes it. */
  get bytes(): readonly (readonly number[])[] {
    return this.#slots.map((slot) => slot.bytes);
  }

  /** Bytes that `rank` publishes when every slot is published once. */
  total(rank: number): number {
    return sum(this.#slots.map((slot) => slot.bytes[rank] as number));
  }
}
