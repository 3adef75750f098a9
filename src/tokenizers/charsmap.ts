import { DistriError } from '../base/errors.js';

/** A replacement found at the start of a text: bytes of the text, and what they become. */
interface Replacement {
  readonly length: number;
  readonly text: Uint8Array;
}

/**
 * The table of a sentencepiece normaliser (`precompiled_charsmap`): which bytes become which. It is a
 * double-array trie of Darts-clone, whose values are positions in a list of texts that end with a zero.
 */
export class Charsmap {
  readonly #units: Uint32Array;
  readonly #texts: Uint8Array;

  /** `source` is the file that the table is in. */
  constructor(table: Uint8Array, source: string) {
    if (table.length === 0) {
      this.#units = new Uint32Array(0);
      this.#texts = table;
      return;
    }
    const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    const size = table.length < 4 ? Number.NaN : view.getUint32(0, true);
    if (!(size % 4 === 0 && size > 0 && size <= table.length - 4)) {
      throw new DistriError('checkpoint', `${source}: its normalisation table is damaged`);
    }
    this.#units = Uint32Array.from({ length: size / 4 }, (_, index) => view.getUint32(4 + 4 * index, true));
    this.#texts = table.subarray(4 + size);
  }

  /** The longest entry that the bytes at `start` begin with. */
  find(bytes: Uint8Array, start: number): Replacement | undefined {
    let found: Replacement | undefined;
    let position = offset(this.#unit(0));
    for (let index = start; index < bytes.length; index++) {
      const byte = bytes[index] as number;
      position ^= byte;
      const unit = this.#unit(position);
      if (label(unit) !== byte) break;
      position ^= offset(unit);
      if (hasLeaf(unit)) found = { length: index + 1 - start, text: this.#text(value(this.#unit(position))) };
    }
    return found;
  }

  /** Beyond the end of a damaged table there is nothing. */
  #unit(position: number): number {
    return this.#units[position] ?? NOTHING;
  }

  #text(start: number): Uint8Array {
    const end = this.#texts.indexOf(0, start);
    return this.#texts.subarray(start, end < 0 ? undefined : end);
  }
}

/** A unit whose label is no byte. */
const NOTHING = 0x80000000;

function hasLeaf(unit: number): boolean {
  return ((unit >>> 8) & 1) === 1;
}

function value(unit: number): number {
  return unit & 0x7fffffff;
}

function label(unit: number): number {
  return (unit & 0x800000ff) >>> 0;
}

function offset(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
