import { itemBytes } from '../../tensor/element-type.js';
import { elementCount } from '../../tensor/tensor.js';
import type { Lowering } from './lowering.js';
import type { View } from './view.js';

/** Codes of ages, as native/device/cpu/exchange.h has them. */
const ages = { fresh: 0, displaced: 1, warm_up: 2 } as const;
export type Age = keyof typeof ages;

/** What this rank exchanges through one slot, as commands. */
export class Slot {
  readonly #lowering: Lowering;
  readonly #name: string;
  readonly #slot: number;
  readonly #age: number;
  #left = 0;

  constructor(lowering: Lowering, name: string, slot: number, age: Age) {
    this.#lowering = lowering;
    this.#name = name;
    this.#slot = slot;
    this.#age = ages[age];
  }

  /** Leaves these one after the other and lets others read them. */
  publish(...parts: readonly View[]): void {
    for (const x of parts.filter((part) => bytesOf(part) > 0)) {
      this.#lowering.emit(
        'Leave',
        this.#name,
        { x },
        { slot: this.#slot, offset: this.#left, age: this.#age },
      );
      this.#left += bytesOf(x);
    }
    this.#lowering.emit('Publish', this.#name, {}, { slot: this.#slot, age: this.#age });
  }

  /** What `peer` left from byte `offset` on. */
  fetch(peer: number, offset: number, y: View): void {
    this.#lowering.emit('Fetch', this.#name, { y }, { slot: this.#slot, peer, offset, age: this.#age });
  }

  /** The same of all who have a part: this rank's is `own`, where it is, and need not have been left. */
  take(peer: number, offset: number, y: View, own: View): void {
    if (bytesOf(y) === 0) return;
    if (peer === this.#lowering.rank) this.#lowering.emit('Copy', this.#name, { x: own, y });
    else this.fetch(peer, offset, y);
  }
}

/** Of its elements, one behind the other. */
export function bytesOf({ dtype, shape }: View): number {
  return itemBytes[dtype] * elementCount(shape);
}
