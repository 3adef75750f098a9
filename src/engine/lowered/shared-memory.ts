import type { Initializer } from '../../graph/graph.js';
import type { Value } from '../../graph/value.js';
import type { ElementType } from '../../tensor/element-type.js';
import type { Shape } from '../../tensor/tensor.js';
import type { PackedWeight } from './command.js';
import { denseView, type Storage, type View } from './view.js';

/** What a weight's storage holds. */
export interface WeightContent {
  readonly value: Value;
  readonly content: Initializer;
  /** As a product reads it; undefined as it is. */
  readonly packed: PackedWeight | undefined;
}

/**
 * What all lists of a program have in common: weights, what is kept from call to call, and what callers
 * bring.
 */
export class SharedMemory {
  readonly weights = new Map<Storage, WeightContent>();
  readonly #views = new Map<string, View>();

  /** The one of this kind, name and size, and of the `form` that it is in. */
  view(
    kind: Exclude<Storage['kind'], 'arena'>,
    value: { readonly name: string; readonly dtype: ElementType; readonly shape: Shape },
    form: unknown = undefined,
  ): View {
    const view = denseView(kind, value);
    const key = JSON.stringify([kind, value.name, view.storage.bytes, form]);
    const known = this.#views.get(key) ?? view;
    this.#views.set(key, known);
    return { ...view, storage: known.storage };
  }

  /** A weight in this shape. Constants are a list's own: those of other sizes differ under the same names. */
  weight(weight: WeightContent, shape: Shape): View {
    const { content } = weight;
    const value = { ...weight.value, shape };
    const view =
      content.kind === 'constant' ? denseView('weight', value) : this.view('weight', value, weight.packed);
    this.weights.set(view.storage, weight);
    return view;
  }
}
