import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Session } from '../../src/engine/addon.js';
import { float, int, ints } from '../../src/graph/value.js';
import { elementCount, float32, type Shape, type Tensor } from '../../src/tensor/tensor.js';
import { connectRanks, create, ramp, singleNode, transportTest } from './support.js';

const step = { call: 0, tick: 0, readTick: 0, publish: true };
const counts = [4, 1, 2];
const cuts = [0, 4, 5, 7];

/** Rows from `start` of x `[B, C, H, W]`; zeros where there are none. */
function rowsOf(x: Tensor<'float32'>, start: number, count: number): Tensor<'float32'> {
  const [batch, channels, rows, columns] = x.shape as [number, number, number, number];
  const part = float32([batch, channels, count, columns]);
  for (let plane = 0; plane < batch * channels; plane++) {
    for (let row = 0; row < count; row++) {
      const from = start + row;
      if (from < 0 || from >= rows) continue;
      const offset = (plane * rows + from) * columns;
      part.data.set(x.data.subarray(offset, offset + columns), (plane * count + row) * columns);
    }
  }
  return part;
}

async function onRanks(
  transport: string,
  bytes: readonly number[],
  make: (rank: number) => Uint8Array,
  inputs: (rank: number) => Readonly<Record<string, Tensor<'float32'>>>,
  shape: (rank: number) => Shape,
): Promise<Tensor<'float32'>[]> {
  const ranks = await connectRanks(transport, counts.length, [bytes]);
  const sessions: Session[] = [];
  for (const [rank, communicator] of ranks.communicators.entries()) {
    sessions.push(await create(make(rank), { communicator }));
  }
  const outputs = counts.map((_, rank) => float32(shape(rank)));
  await Promise.all(
    sessions.map((session, rank) =>
      session.run(inputs(rank), { y: outputs[rank] as Tensor<'float32'> }, step),
    ),
  );
  for (const session of sessions) session.release();
  ranks.close();
  return outputs;
}

transportTest(
  'HaloStrips has three rows around the first and three around the last row of a band',
  async (transport) => {
    const [batch, channels, columns] = [2, 3, 5];
    const x = ramp([batch, channels, 7, columns]);
    const own = (rank: number) => rowsOf(x, cuts[rank] as number, counts[rank] as number);
    const outputs = await onRanks(
      transport,
      counts.map(() => 2 * 4 * batch * channels * columns),
      (rank) => {
        const attributes = {
          slot: int(0),
          above: int(rank - 1),
          below: int(rank + 1 < counts.length ? rank + 1 : -1),
          fresh: int(1),
        };
        const strips = { y: [batch, channels, 6, columns] };
        return singleNode('HaloStrips', { x: own(rank).shape }, strips, attributes);
      },
      (rank) => ({ x: own(rank) }),
      () => [batch, channels, 6, columns],
    );
    for (const [rank, output] of outputs.entries()) {
      const [first, end] = [cuts[rank] as number, cuts[rank + 1] as number];
      assert.deepEqual(rowsOf(output, 0, 3), rowsOf(x, first - 1, 3), `first rows of rank ${rank}`);
      assert.deepEqual(rowsOf(output, 3, 3), rowsOf(x, end - 2, 3), `last rows of rank ${rank}`);
    }
  },
);

test('ReplaceRows replaces what it is told to, and refuses rows that do not fit', async () => {
  const shape = [1, 2, 3, 4];
  const [x, rows] = [ramp(shape), ramp([1, 2, 4, 4], 1, 9)];
  for (const [first, last] of [
    [0, 3],
    [-1, 1],
    [2, -1],
  ] as const) {
    const attributes = { first: int(first), last: int(last) };
    const session = await create(
      singleNode('ReplaceRows', { x: shape, rows: rows.shape }, { y: shape }, attributes),
    );
    const y = float32(shape);
    await session.run({ x, rows }, { y });
    session.release();
    assert.deepEqual(rowsOf(y, 0, 1), first < 0 ? rowsOf(x, 0, 1) : rowsOf(rows, first, 1));
    assert.deepEqual(rowsOf(y, 1, 1), rowsOf(x, 1, 1));
    assert.deepEqual(rowsOf(y, 2, 1), last < 0 ? rowsOf(x, 2, 1) : rowsOf(rows, last, 1));
  }
  const attributes = { first: int(0), last: int(4) };
  const session = await create(
    singleNode('ReplaceRows', { x: shape, rows: rows.shape }, { y: shape }, attributes),
  );
  await assert.rejects(
    session.run({ x, rows }, { y: float32(shape) }),
    /expected \[B, C, h, W\] and rows for it/,
  );
  session.release();
});

transportTest(
  'PatchGroupNorm of a ramp on a mean of 1000 is that of two passes in double precision',
  async (transport) => {
    const [channels, columns, groups, epsilon] = [4, 6, 2, 1e-6];
    const x = ramp([1, channels, 7, columns]);
    for (let index = 0; index < x.data.length; index++) {
      const row = Math.floor(index / columns) % 7;
      x.data[index] = (x.data[index] as number) + 1000 + 5 * row;
    }
    const wanted = float32(x.shape);
    const size = x.data.length / groups;
    for (let group = 0; group < groups; group++) {
      const values = [...x.data.subarray(group * size, (group + 1) * size)];
      const mean = values.reduce((sum, value) => sum + value, 0) / size;
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size;
      const normal = values.map((value) => (value - mean) / Math.sqrt(variance + epsilon));
      wanted.data.set(normal, group * size);
    }
    const own = (rank: number) => rowsOf(x, cuts[rank] as number, counts[rank] as number);
    const ones = float32([channels], new Float32Array(channels).fill(1));
    const outputs = await onRanks(
      transport,
      counts.map(() => 24 * groups),
      (rank) =>
        singleNode(
          'PatchGroupNorm',
          { x: own(rank).shape, weight: [channels], bias: [channels] },
          { y: own(rank).shape },
          {
            groups: int(groups),
            epsilon: float(epsilon),
            activation: int(0),
            slot: int(0),
            peers: ints([0, 1, 2]),
            index: int(rank),
            statistics: int(0),
          },
        ),
      (rank) => ({ x: own(rank), weight: ones, bias: float32([channels]) }),
      (rank) => own(rank).shape,
    );
    for (const [rank, output] of outputs.entries()) {
      const expected = rowsOf(wanted, cuts[rank] as number, counts[rank] as number);
      for (let index = 0; index < elementCount(output.shape); index++) {
        const off = Math.abs((output.data[index] as number) - (expected.data[index] as number));
        // A step of float32 at 1000 is 6e-5.
        assert.ok(off < 3e-5, `rank ${rank} differs by ${off}`);
      }
    }
  },
);
