import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TensorEntry } from '../../../src/checkpoint/formats/safetensors.js';
import { type Range, readSlice, sliceTensor } from '../../../src/checkpoint/formats/slices.js';
import { elementCount, type Shape } from '../../../src/tensor/tensor.js';

const OFFSET = 13;

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'distri-slices-'));
});
after(() => rm(folder, { recursive: true }));

/** A file with the numbers 0, 1, 2, … as a tensor that begins at an odd byte. */
async function counting(shape: Shape): Promise<TensorEntry> {
  const file = join(folder, `tensor-${shape.join('x')}`);
  const data = Float32Array.from({ length: elementCount(shape) }, (_, index) => index);
  await writeFile(file, Buffer.concat([Buffer.alloc(OFFSET), Buffer.from(data.buffer)]));
  return { name: 'w', dtype: 'F32', shape, file, offset: OFFSET, length: data.byteLength };
}

/** The numbers that the ranges of an axis pick from a counting tensor. */
function picked(shape: Shape, axis: number, ranges: readonly Range[]): number[] {
  const inner = elementCount(shape.slice(axis + 1));
  const length = shape[axis] as number;
  const indices = ranges.flatMap(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i));
  return Array.from({ length: elementCount(shape.slice(0, axis)) }, (_, block) =>
    indices.map((index) => (block * length + index) * inner),
  )
    .flat()
    .flatMap((first) => Array.from({ length: inner }, (_, i) => first + i));
}

for (const [what, shape, axis, ranges] of [
  ['rows', [6, 5], 0, [[2, 4]]],
  [
    'rows that touch',
    [6, 5],
    0,
    [
      [1, 2],
      [2, 4],
    ],
  ],
  ['columns', [7, 5], 1, [[1, 3]]],
  [
    'columns in another order',
    [7, 5],
    1,
    [
      [3, 5],
      [0, 1],
    ],
  ],
  [
    'columns far apart',
    [3, 100_000],
    1,
    [
      [0, 1],
      [70_000, 70_002],
    ],
  ],
  ['channels in the middle', [3, 40, 9], 1, [[10, 30]]],
  ['more columns than one read takes', [700, 1000], 1, [[250, 500]]],
  ['nothing', [4, 5], 1, [[2, 2]]],
] as const satisfies readonly (readonly [string, Shape, number, readonly Range[]])[]) {
  test(`a slice has what its ranges pick: ${what}`, async () => {
    const slice = sliceTensor(await counting(shape), axis, ranges);
    const { data, shape: sliced } = await readSlice(slice);
    const wanted = picked(shape, axis, ranges);
    assert.equal(elementCount(sliced), wanted.length);
    assert.deepEqual([...data], wanted);
  });
}

test('the event loop goes on between the reads of a slice', async () => {
  const slice = sliceTensor(await counting([2000, 1000]), 1, [[0, 300]]);
  let turns = 0;
  const count = () => {
    turns += 1;
    timer = setImmediate(count);
  };
  let timer = setImmediate(count);
  await readSlice(slice);
  clearImmediate(timer);
  assert.ok(turns > 1, `${turns} turns`);
});

test('a file that is too short is refused by name', async () => {
  const entry = await counting([30, 20]);
  await truncate(entry.file, OFFSET + 4 * 20 * 29);
  await assert.rejects(async () => readSlice(sliceTensor(entry, 1, [[0, 10]])), {
    code: 'checkpoint',
    message: `${entry.file}: the file ends at byte ${OFFSET + 4 * 20 * 29}, not at ${OFFSET + 4 * (20 * 29 + 10)} or later`,
  });
});
