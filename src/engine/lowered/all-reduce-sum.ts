import { intAttribute, intsAttribute, type Operation, type Value } from '../../graph/value.js';
import { itemBytes } from '../../tensor/element-type.js';
import { elementCount } from '../../tensor/tensor.js';
import { channelsLast, type Lowering } from './lowering.js';
import { Slot } from './slot.js';
import { denseView, permuted, reshaped, sliced, type View } from './view.js';

/** Elements `start` (inclusive) to `end` (exclusive) of a sum. */
interface Share {
  readonly start: number;
  readonly end: number;
}

/**
 * The sum of what the sources have, always in the order of the sources, so equal to the bit on all ranks.
 * With two ranks each adds both; with more each adds its share of the elements and hands it to the others.
 */
export function lowerAllReduceSum(lowering: Lowering, operation: Operation): void {
  const [result] = operation.outputs as [Value];
  const order: readonly number[] =
    result.shape.length === 4 ? channelsLast : result.shape.map((_, axis) => axis);
  const total = denseView('arena', {
    name: result.name,
    dtype: result.dtype,
    shape: order.map((axis) => result.shape[axis] as number),
  });
  const elements = reshaped(total, [elementCount(total.shape)]) as View;
  new Reduction(lowering, operation, order).reduce(elements);
  const back = result.shape.map((_, axis) => order.indexOf(axis));
  lowering.set(result, permuted(total, back));
}

class Reduction {
  readonly #lowering: Lowering;
  readonly #operation: Operation;
  readonly #peers: readonly number[];
  readonly #sources: readonly number[];
  readonly #index: number;
  readonly #parts: Slot;
  /** Of this rank, where it is a source: all its elements in the order of memory. */
  readonly #own: View | undefined;

  constructor(lowering: Lowering, operation: Operation, order: readonly number[]) {
    const { spec } = operation;
    this.#lowering = lowering;
    this.#operation = operation;
    this.#peers = intsAttribute(spec, 'peers');
    this.#sources = intsAttribute(spec, 'sources');
    this.#index = intAttribute(spec, 'index');
    this.#parts = this.#slot('slot');
    this.#own = this.#sources.includes(this.#rank) ? this.#flatOperand(order) : undefined;
  }

  reduce(total: View): void {
    if (this.#own) this.#parts.publish(this.#own);
    const count = elementCount(total.shape);
    if (this.#peers.length <= 2) this.#add(total, { start: 0, end: count });
    else this.#shareOut(total, count);
  }

  /** Each adds a part of the elements for all. */
  #shareOut(total: View, count: number): void {
    const shares = this.#slot('share_slot');
    const shareOf = (part: number): Share => ({
      start: Math.floor((count * part) / this.#peers.length),
      end: Math.floor((count * (part + 1)) / this.#peers.length),
    });
    const own = shareOf(this.#index);
    this.#add(total, own);
    shares.publish(sliced(total, 0, own.start, own.end));
    for (const [part, peer] of this.#peers.entries()) {
      const { start, end } = shareOf(part);
      if (part !== this.#index && end > start) shares.fetch(peer, 0, sliced(total, 0, start, end));
    }
  }

  get #rank(): number {
    return this.#peers[this.#index] as number;
  }

  #slot(attribute: 'slot' | 'share_slot'): Slot {
    const { spec } = this.#operation;
    return new Slot(this.#lowering, spec.name, intAttribute(spec, attribute), 'fresh');
  }

  #flatOperand(order: readonly number[]): View {
    const { spec, outputs } = this.#operation;
    const [x] = spec.inputs as [Value];
    const [{ dtype, shape }] = outputs as [Value];
    const view = permuted(this.#lowering.view(x), order);
    const typed = view.dtype === dtype ? view : this.#lowering.copied(view, spec.name, dtype);
    return this.#lowering.reshape(typed, spec.name, [elementCount(shape)]);
  }

  /** A share of all sources into the same elements of `total`. */
  #add(total: View, { start, end }: Share): void {
    if (end === start) return;
    const { name } = this.#operation.spec;
    const shape = [this.#sources.length, end - start];
    const parts = denseView('arena', { name: `${name}/parts`, dtype: total.dtype, shape });
    for (const [place, source] of this.#sources.entries()) {
      const y = sliced(parts, 0, place, place + 1);
      if (source !== this.#rank) this.#parts.fetch(source, itemBytes[y.dtype] * start, y);
      else {
        const x = reshaped(sliced(this.#own as View, 0, start, end), y.shape) as View;
        this.#lowering.emit('Copy', name, { x, y });
      }
    }
    this.#lowering.emit('Sum', name, { x: parts, y: sliced(total, 0, start, end) });
  }
}
