import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  broadcastTo,
  denseView,
  orderOf,
  permuted,
  reshaped,
  sliced,
  type View,
} from '../../../src/engine/lowered/view.js';
import { elementCount, type Shape } from '../../../src/tensor/tensor.js';

const dense = (shape: Shape) => denseView('arena', { name: 'x', dtype: 'float32', shape });

/** Where the elements of a view lie, in the order of its indices. */
function places({ shape, strides, offset }: View): number[] {
  return Array.from({ length: elementCount(shape) }, (_, index) => {
    let rest = index;
    let place = offset;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place += (rest % (shape[axis] as number)) * (strides[axis] as number);
      rest = Math.floor(rest / (shape[axis] as number));
    }
    return place;
  });
}

/** An image with channels last in a frame, as `[batch, channels, rows, columns]`. */
const framed = permuted(sliced(sliced(dense([2, 6, 7, 3]), 1, 1, 5), 2, 1, 6), [0, 3, 1, 2]);
const unframed = permuted(dense([2, 4, 5, 3]), [0, 3, 1, 2]);

for (const [name, view, shape] of [
  ['an image as tokens', unframed, [2, 3, 20]],
  ['tokens as an image', permuted(dense([2, 20, 3]), [0, 2, 1]), [2, 3, 4, 5]],
  ['dimensions of 1 that come and go', dense([1, 6, 1, 4]), [6, 4, 1]],
  ['dimensions in a frame that are split', framed, [2, 3, 2, 2, 5]],
  ['parts of tokens', sliced(dense([2, 6, 4]), 1, 2, 5), [2, 3, 2, 2]],
  ['one element', dense([1, 1]), []],
] as const) {
  test(`a view in another shape has the same elements in the same order: ${name}`, () => {
    const other = reshaped(view, shape);
    assert.ok(other);
    assert.deepEqual(places(other), places(view));
  });
}

test('what lies at irregular distances needs a copy to be one dimension', () => {
  assert.equal(reshaped(framed, [2, 3, 20]), undefined);
  assert.equal(reshaped(permuted(dense([4, 6]), [1, 0]), [24]), undefined);
});

test('what is repeated stays in its place', () => {
  assert.deepEqual(places(broadcastTo(dense([3, 1]), [2, 3, 2])), [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]);
  assert.throws(() => broadcastTo(dense([3]), [2]), /can't be repeated/);
});

test('dimensions are found in the order in which they lie', () => {
  assert.deepEqual(orderOf(unframed), [0, 2, 3, 1]);
  assert.deepEqual(orderOf(framed), [0, 2, 3, 1]);
  // Also those of 1, whether they were there from the beginning or not.
  assert.deepEqual(orderOf(permuted(dense([1, 4, 5, 3]), [0, 3, 1, 2])), [0, 2, 3, 1]);
  assert.deepEqual(orderOf(permuted(dense([2, 1, 5, 3]), [0, 3, 1, 2])), [0, 2, 3, 1]);
  const row = reshaped(permuted(dense([2, 5, 3]), [0, 2, 1]), [2, 3, 1, 5]);
  assert.deepEqual(orderOf(row as View), [0, 2, 3, 1]);
});
