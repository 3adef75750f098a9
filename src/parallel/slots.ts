import { sum } from '../base/numbers.js';
import type { SlotSpec } from '../engine/addon.js';

/** What is exchanged, by the kind of layer that needs it, and how people call it. */
export const exchangeKinds = {
  halo: 'rows next to a convolution',
  keys_values: "attention's keys and values",
  heads: 'tokens for heads, and back',
  statistics: 'GroupNorm statistics',
  partial_sums: 'partial sums',
  hidden_states: 'hidden states for the next stage',
  latents: 'latents for the first stage',
  output: 'parts of the prediction',
} as const;
/** Which kind of layer needs what is exchanged. @useDeclaredType */
export type ExchangeKind = keyof typeof exchangeKinds;

/**
 * Of which step readers want a slot's data: of the same step; of the step before, once the warm-up is over;
 * or of the same step, and nothing at all after the warm-up.
 */
export type SlotAge = 'fresh' | 'displaced' | 'warm_up';

/**
 * A slot of the communicator as layers reserve it: what each rank leaves in it, and who reads how much of
 * that.
 */
export interface SlotPlan {
  /** Of the layer. */
  readonly name: string;
  readonly kind: ExchangeKind;
  readonly age: SlotAge;
  /** Bytes that a rank publishes. */
  readonly bytes: (rank: number) => number;
  /**
   * Bytes of what `publisher` publishes that `reader`, another rank, looks at; 0 for who does not read it.
   */
  readonly reads: (reader: number, publisher: number) => number;
  /** What a reader needs it for, where that is not the slot's kind. */
  readonly kindOfRead?: (reader: number, publisher: number) => ExchangeKind;
}

/** The slot of an operation that has nobody to exchange with. */
export const NO_SLOT = -1;

/** Where layers reserve the slots that they exchange through. */
export interface SlotReserver {
  /** Returns the index of the slot. */
  add(slot: SlotPlan): number;
}

/** The communicator's slots that graphs need, in the order of their layers: equal on all ranks. */
export class SlotTable implements SlotReserver {
  readonly #worldSize: number;
  readonly #slots: SlotPlan[] = [];

  constructor(worldSize: number) {
    this.#worldSize = worldSize;
  }

  add(slot: SlotPlan): number {
    this.#slots.push(slot);
    return this.#slots.length - 1;
  }

  /** For a graph that the first `ranks` ranks run: the others neither publish nor read. */
  amongFirst(ranks: number): SlotReserver {
    return {
      add: ({ bytes, reads, ...slot }) =>
        this.add({
          ...slot,
          bytes: (rank) => (rank < ranks ? bytes(rank) : 0),
          reads: (reader, publisher) => (Math.max(reader, publisher) < ranks ? reads(reader, publisher) : 0),
        }),
    };
  }

  /** The slot of this index, which a layer reserved. */
  slot(index: number): SlotPlan {
    const slot = this.#slots[index];
    if (slot === undefined) throw new Error(`there is no slot ${index}`);
    return slot;
  }

  /** As the communicator takes them. */
  get specs(): readonly SlotSpec[] {
    const ranks = this.ranks;
    return this.#slots.map(({ name, bytes, reads }) => ({
      name,
      bytes: ranks.map(bytes),
      readers: ranks.map((publisher) =>
        ranks.filter((reader) => reader !== publisher && reads(reader, publisher) > 0),
      ),
    }));
  }

  /** Bytes that `rank` publishes when every slot is published once. */
  total(rank: number): number {
    return sum(this.#slots.map(({ bytes }) => bytes(rank)));
  }

  get ranks(): readonly number[] {
    return Array.from({ length: this.#worldSize }, (_, rank) => rank);
  }
}

/** `reads` of slots that every rank reads whole, of the ranks that `peersOf` it. */
export function readWhole(
  peersOf: (rank: number) => readonly number[],
  bytes: (rank: number) => number,
): SlotPlan['reads'] {
  return (reader, publisher) => (peersOf(reader).includes(publisher) ? bytes(publisher) : 0);
}
