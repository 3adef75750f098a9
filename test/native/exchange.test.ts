import assert from 'node:assert/strict';
import type { Session, Step } from '../../src/engine/addon.js';
import { type Attribute, float, int, ints } from '../../src/graph/value.js';
import { elementCount, float32, type Shape, type Tensor } from '../../src/tensor/tensor.js';
import { attend, connectRanks, create, type Ranks, ramp, singleNode, transportTest } from './support.js';

type Float32Tensors = Readonly<Record<string, Tensor<'float32'>>>;

/** One graph of one exchanging node per rank. */
interface Layer {
  readonly op: string;
  readonly attributes: (rank: number) => Readonly<Record<string, Attribute>>;
  readonly inputs: (rank: number) => Readonly<Record<string, Shape>>;
  readonly outputs: (rank: number) => Readonly<Record<string, Shape>>;
  /** What each rank publishes. */
  readonly bytes: readonly number[];
}

/** The same layer on several ranks in this process, run for step after step. */
class LayerRanks {
  private constructor(
    readonly ranks: Ranks,
    readonly sessions: readonly Session[],
    readonly layer: Layer,
  ) {}

  static async create(transport: string, layer: Layer, timeout?: number): Promise<LayerRanks> {
    const ranks = await connectRanks(transport, layer.bytes.length, [layer.bytes], timeout);
    const sessions = ranks.communicators.map((communicator, rank) =>
      create(singleNode(layer.op, layer.inputs(rank), layer.outputs(rank), layer.attributes(rank)), {
        communicator,
      }),
    );
    return new LayerRanks(ranks, await Promise.all(sessions), layer);
  }

  run(rank: number, inputs: Float32Tensors, step: Step): Promise<Float32Tensors> {
    const outputs = Object.fromEntries(
      Object.entries(this.layer.outputs(rank)).map(([name, shape]) => [name, float32(shape)]),
    );
    return (this.sessions[rank] as Session).run(inputs, outputs, step).then(() => outputs);
  }

  /** Every rank's outputs of one step. */
  runAll(inputs: readonly Float32Tensors[], step: Step): Promise<Float32Tensors[]> {
    return Promise.all(inputs.map((own, rank) => this.run(rank, own, step)));
  }

  close(): void {
    for (const session of this.sessions) session.release();
    this.ranks.close();
  }
}

const synchronous = (tick: number): Step => ({ call: tick, tick, readTick: tick, publish: true });
const stale = (tick: number): Step => ({ call: tick, tick, readTick: tick - 1, publish: true });
const frozen = (tick: number, readTick: number): Step => ({ call: tick, tick, readTick, publish: false });

/** Rows `[start, start + count)` of x `[B, C, H, W]`; zeros where there are none. */
function rowsOf(x: Tensor<'float32'>, start: number, count: number): Tensor<'float32'> {
  const [batch, channels, height, width] = x.shape as [number, number, number, number];
  const y = float32([batch, channels, count, width]);
  for (let plane = 0; plane < batch * channels; plane++) {
    for (let row = 0; row < count; row++) {
      if (start + row < 0 || start + row >= height) continue;
      const from = (plane * height + start + row) * width;
      y.data.set(x.data.subarray(from, from + width), (plane * count + row) * width);
    }
  }
  return y;
}

const uneven = [3, 1, 2];
const starts = [0, 3, 4];
const total = 6;

function haloLayer(fresh: boolean): Layer {
  const [batch, channels, width] = [2, 3, 5];
  return {
    op: 'HaloExchange',
    attributes: (rank) => ({
      slot: int(0),
      above: int(rank - 1),
      below: int(rank === 2 ? -1 : rank + 1),
      fresh: int(fresh ? 1 : 0),
    }),
    inputs: (rank) => ({ x: [batch, channels, uneven[rank] as number, width] }),
    outputs: (rank) => ({ y: [batch, channels, (uneven[rank] as number) + 2, width] }),
    bytes: uneven.map(() => 2 * batch * channels * width * 4),
  };
}

const bandsOf = (x: Tensor<'float32'>) =>
  uneven.map((count, rank) => ({ x: rowsOf(x, starts[rank] as number, count) }));

transportTest(
  'a synchronous halo is the neighbours rows of this step, zero at the border',
  async (transport) => {
    for (const fresh of [true, false]) {
      const layer = await LayerRanks.create(transport, haloLayer(fresh));
      for (const tick of [0, 1]) {
        const x = ramp([2, 3, total, 5], 1, tick);
        const results = await layer.runAll(bandsOf(x), synchronous(tick));
        results.forEach(({ y }, rank) => {
          assert.deepEqual(y, rowsOf(x, (starts[rank] as number) - 1, (uneven[rank] as number) + 2));
        });
      }
      layer.close();
    }
  },
);

transportTest(
  "a stale step uses the previous step's halo rows, a fresh layer never does",
  async (transport) => {
    for (const fresh of [true, false]) {
      const layer = await LayerRanks.create(transport, haloLayer(fresh));
      const before = ramp([2, 3, total, 5], 1, 1);
      const now = ramp([2, 3, total, 5], 1, 2);
      await layer.runAll(bandsOf(before), synchronous(0));
      const results = await layer.runAll(bandsOf(now), stale(1));
      results.forEach(({ y }, rank) => {
        const start = starts[rank] as number;
        const count = uneven[rank] as number;
        const halo = fresh ? now : before;
        const expected = rowsOf(now, start - 1, count + 2);
        for (const [row, from] of [
          [0, start - 1],
          [count + 1, start + count],
        ] as const) {
          const source = rowsOf(halo, from, 1);
          for (let plane = 0; plane < 6; plane++) {
            const values = source.data.subarray(plane * 5, plane * 5 + 5);
            expected.data.set(values, (plane * (count + 2) + row) * 5);
          }
        }
        assert.deepEqual(y, expected);
      });
      layer.close();
    }
  },
);

transportTest('a step that publishes nothing leaves the peers with the frozen rows', async (transport) => {
  const layer = await LayerRanks.create(transport, haloLayer(false));
  const frames = [0, 1, 2, 3].map((tick) => ramp([2, 3, total, 5], 1, tick));
  const at = (tick: number) => bandsOf(frames[tick] as Tensor<'float32'>);
  await layer.runAll(at(0), synchronous(0));
  for (const tick of [1, 2, 3]) {
    const results = await layer.runAll(at(tick), frozen(tick, 0));
    const above = rowsOf(frames[0] as Tensor<'float32'>, 2, 1);
    for (let plane = 0; plane < 6; plane++) {
      assert.deepEqual(
        results[1]?.y?.data.subarray(plane * 15, plane * 15 + 5),
        above.data.subarray(plane * 5, plane * 5 + 5),
      );
    }
  }
  layer.close();
});

const heads = 2;

function attentionLayer(fresh: boolean): Layer {
  const [batch, channels] = [2, 6];
  const own = (rank: number): Shape => [batch, uneven[rank] as number, channels];
  return {
    op: 'PatchAttention',
    attributes: (rank) => ({
      heads: int(heads),
      slot: int(0),
      peers: ints([0, 1, 2]),
      index: int(rank),
      tokens: ints(uneven),
      fresh: int(fresh ? 1 : 0),
    }),
    inputs: (rank) => ({ q: own(rank), k: own(rank), v: own(rank) }),
    outputs: (rank) => ({ y: own(rank) }),
    bytes: uneven.map((count) => 2 * batch * count * channels * 4),
  };
}

/** Tokens `[B, T, C]` are rows of an image `[B, 1, T, C]`. */
function tokensOf(x: Tensor<'float32'>, rank: number): Tensor<'float32'> {
  const [batch, tokens, channels] = x.shape as [number, number, number];
  const rows = rowsOf(
    float32([batch, 1, tokens, channels], x.data),
    starts[rank] as number,
    uneven[rank] as number,
  );
  return float32([batch, uneven[rank] as number, channels], rows.data);
}

/** The tokens of `own` where rank `rank` has its band, of `others` elsewhere. */
function mixedTokens(own: Tensor<'float32'>, others: Tensor<'float32'>, rank: number): Tensor<'float32'> {
  const [batch, tokens, channels] = own.shape as [number, number, number];
  const mixed = float32(own.shape, others.data.slice());
  const [start, count] = [starts[rank] as number, uneven[rank] as number];
  for (let image = 0; image < batch; image++) {
    const [from, to] = [start, start + count].map((token) => (image * tokens + token) * channels) as [
      number,
      number,
    ];
    mixed.data.set(own.data.subarray(from, to), from);
  }
  return mixed;
}

transportTest('a band attends to the tokens of all bands, own ones always fresh', async (transport) => {
  for (const fresh of [true, false]) {
    const layer = await LayerRanks.create(transport, attentionLayer(fresh));
    const frames = [0, 1].map((tick) => ({
      q: ramp([2, total, 6], 3, tick),
      k: ramp([2, total, 6], 1, tick),
      v: ramp([2, total, 6], 2, -tick),
    }));
    for (const tick of [0, 1]) {
      const frame = frames[tick] as (typeof frames)[0];
      const others = frames[fresh ? tick : 0] as (typeof frames)[0];
      const inputs = uneven.map((_, rank) => ({
        q: tokensOf(frame.q, rank),
        k: tokensOf(frame.k, rank),
        v: tokensOf(frame.v, rank),
      }));
      const results = await layer.runAll(inputs, tick === 0 ? synchronous(0) : stale(1));
      results.forEach(({ y }, rank) => {
        const keys = mixedTokens(frame.k, others.k, rank);
        const values = mixedTokens(frame.v, others.v, rank);
        const wanted = attend(tokensOf(frame.q, rank), keys, values, heads);
        assertClose((y as Tensor<'float32'>).data, wanted, 1e-5);
      });
    }
    layer.close();
  }
});

transportTest(
  'partial results are added in the order of their sources, alike on all ranks',
  async (transport) => {
    for (const sources of [
      [0, 1, 2],
      [0, 2],
    ]) {
      const shape: Shape = [2, 5, 7];
      const count = elementCount(shape);
      const cut = (part: number) => Math.floor((count * part) / 3);
      const ranks = await connectRanks(transport, 3, [
        [0, 1, 2].map((rank) => (sources.includes(rank) ? 4 * count : 0)),
        [0, 1, 2].map((rank) => 4 * (cut(rank + 1) - cut(rank))),
      ]);
      const sessions = await Promise.all(
        ranks.communicators.map((communicator, rank) =>
          create(
            singleNode(
              'AllReduceSum',
              { x: shape },
              { y: shape },
              {
                slot: int(0),
                share_slot: int(1),
                peers: ints([0, 1, 2]),
                index: int(rank),
                sources: ints(sources),
                shape: ints(shape),
              },
            ),
            { communicator },
          ),
        ),
      );
      const parts = [0, 1, 2].map((rank) => ramp(shape, rank + 1, 0.1 * rank));
      const outputs = sessions.map(() => float32(shape));
      await Promise.all(
        sessions.map((session, rank) =>
          session.run({ x: parts[rank] as Tensor }, { y: outputs[rank] as Tensor }, synchronous(0)),
        ),
      );
      const wanted = parts[0]?.data.map((_, i) =>
        sources.reduce((sum, source) => Math.fround(sum + (parts[source]?.data[i] as number)), 0),
      );
      for (const { data } of outputs) assert.deepEqual(data, wanted);
      for (const session of sessions) session.release();
      ranks.close();
    }
  },
);

transportTest('the output is assembled from bands of rows and parts of the batch', async (transport) => {
  // Image 0 is split over ranks 0 and 1; rank 2 has all of image 1.
  const parts = [
    { batch: 0, row: 0, rows: 3 },
    { batch: 0, row: 3, rows: 2 },
    { batch: 1, row: 0, rows: 5 },
  ] as const;
  const layer = await LayerRanks.create(transport, {
    op: 'GatherBands',
    attributes: () => ({
      slot: int(0),
      ranks: ints([0, 1, 2]),
      batch_start: ints(parts.map((part) => part.batch)),
      batch_count: ints([1, 1, 1]),
      row_start: ints(parts.map((part) => part.row)),
      row_count: ints(parts.map((part) => part.rows)),
      column_start: ints([0, 0, 0]),
      column_count: ints([3, 3, 3]),
      batch: int(2),
      rows: int(5),
      columns: int(3),
    }),
    inputs: (rank) => ({ x: [1, 4, parts[rank]?.rows as number, 3] }),
    outputs: () => ({ y: [2, 4, 5, 3] }),
    bytes: parts.map((part) => 4 * part.rows * 3 * 4),
  });
  // Also in a stale step: the output is always of this step.
  for (const step of [synchronous(0), stale(1), frozen(2, 0)]) {
    const y = ramp([2, 4, 5, 3], 1, step.tick);
    const inputs = parts.map(({ batch, row, rows }) => {
      const image = float32([1, 4, 5, 3], y.data.subarray(batch * 60, batch * 60 + 60));
      return { x: rowsOf(image, row, rows) };
    });
    for (const result of await layer.runAll(inputs, step))
      assert.deepEqual([...(result.y as Tensor<'float32'>).data], [...y.data]);
  }
  layer.close();
});

transportTest('a part of the output without rows is no part of it', async (transport) => {
  const columns = [2, 1, 1];
  const rows = [5, 5, 0];
  const layer = await LayerRanks.create(transport, {
    op: 'GatherBands',
    attributes: () => ({
      slot: int(0),
      ranks: ints([0, 1, 2]),
      batch_start: ints([0, 0, 0]),
      batch_count: ints([1, 1, 1]),
      row_start: ints([0, 0, 0]),
      row_count: ints(rows),
      column_start: ints([0, 2, 0]),
      column_count: ints(columns),
      batch: int(1),
      rows: int(5),
      columns: int(3),
    }),
    inputs: (rank) => ({ x: [1, 2, rows[rank] as number, columns[rank] as number] }),
    outputs: () => ({ y: [1, 2, 5, 3] }),
    bytes: columns.map((count, rank) => 4 * 2 * (rows[rank] as number) * count),
  });
  const x = ramp([1, 2, 5, 3]);
  const left = float32(
    [1, 2, 5, 2],
    x.data.filter((_, i) => i % 3 < 2),
  );
  const right = float32(
    [1, 2, 5, 1],
    x.data.filter((_, i) => i % 3 === 2),
  );
  const inputs = [{ x: left }, { x: right }, { x: float32([1, 2, 0, 1]) }];
  for (const { y } of await layer.runAll(inputs, synchronous(0))) assert.deepEqual(y, x);
  layer.close();
});

const groups = 2;
const epsilon = 1e-3;
const channels = 4;
const width = 3;

function normLayer(statistics: number): Layer {
  const band = (rank: number): Shape => [1, channels, uneven[rank] as number, width];
  return {
    op: 'PatchGroupNorm',
    attributes: (rank) => ({
      groups: int(groups),
      epsilon: float(epsilon),
      activation: int(0),
      slot: int(0),
      peers: ints([0, 1, 2]),
      index: int(rank),
      statistics: int(statistics),
    }),
    inputs: (rank) => ({ x: band(rank), s: [channels], b: [channels] }),
    outputs: (rank) => ({ y: band(rank) }),
    bytes: uneven.map(() => groups * 3 * 8),
  };
}

interface Statistics {
  readonly count: number;
  readonly mean: number;
  readonly square: number;
}

function statisticsOf(x: Tensor<'float32'>, group: number): Statistics {
  const count = elementCount(x.shape) / groups;
  const values = [...x.data.subarray(group * count, (group + 1) * count)];
  const average = (f: (value: number) => number) => values.reduce((sum, value) => sum + f(value), 0) / count;
  return { count, mean: average((value) => value), square: average((value) => value * value) };
}

function pooled(parts: readonly Statistics[]): Statistics {
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const average = (key: 'mean' | 'square') =>
    parts.reduce((sum, part) => sum + part.count * part[key], 0) / count;
  return { count, mean: average('mean'), square: average('square') };
}

/** Normalises a band with one mean and variance per group. */
function normalized(
  { x, s, b }: Float32Tensors,
  distribution: (group: number) => { mean: number; variance: number },
): number[] {
  const size = (x?.data.length as number) / channels;
  return Array.from(x?.data as Float32Array, (value, i) => {
    const channel = Math.floor(i / size);
    const { mean, variance } = distribution(Math.floor((channel * groups) / channels));
    const scale = (s?.data[channel] as number) / Math.sqrt(variance + epsilon);
    return (value - mean) * scale + (b?.data[channel] as number);
  });
}

function assertClose(actual: Float32Array, expected: readonly number[], tolerance: number): void {
  actual.forEach((value, i) => {
    const error = Math.abs(value - (expected[i] as number));
    assert.ok(error <= tolerance, `${value} at ${i} is ${error} off`);
  });
}

const variance = ({ mean, square }: Statistics) => square - mean * mean;

/** Statistics that each mode uses in a stale step: `before` and `now` of all bands, for one rank. */
const staleStatistics: readonly ((
  before: readonly Statistics[],
  now: readonly Statistics[],
  rank: number,
) => { mean: number; variance: number })[] = [
  (_, now) => ({ mean: pooled(now).mean, variance: variance(pooled(now)) }),
  (before, now, rank) => {
    const mixed = pooled(before.with(rank, now[rank] as Statistics));
    return { mean: mixed.mean, variance: variance(mixed) };
  },
  (before, now, rank) => {
    const own = now[rank] as Statistics;
    const mean = pooled(before).mean + own.mean - (before[rank] as Statistics).mean;
    const square = pooled(before).square + own.square - (before[rank] as Statistics).square;
    const corrected = square - mean * mean;
    return { mean, variance: corrected < 0 ? variance(own) : corrected };
  },
  (_, now, rank) => ({ mean: now[rank]?.mean as number, variance: variance(now[rank] as Statistics) }),
];

const modes = ['fresh', 'stale', 'corrected', 'separate'];

async function checkPatchGroupNorm(
  transport: string,
  statistics: number,
  before: Tensor<'float32'>,
  now: Tensor<'float32'>,
): Promise<void> {
  const layer = await LayerRanks.create(transport, normLayer(statistics));
  const weights = { s: ramp([channels], 0.5, 1), b: ramp([channels], 0.3, -1) };
  const inputs = (x: Tensor<'float32'>) => bandsOf(x).map((band) => ({ ...band, ...weights }));
  const bands = (x: Tensor<'float32'>, group: number) =>
    bandsOf(x).map((band) => statisticsOf(band.x, group));
  const first = await layer.runAll(inputs(before), synchronous(0));
  const second = await layer.runAll(inputs(now), stale(1));
  for (const rank of [0, 1, 2]) {
    const whole = (group: number) => pooled(bands(before, group));
    const synced = normalized(inputs(before)[rank] as Float32Tensors, (group) => ({
      mean: whole(group).mean,
      variance: variance(whole(group)),
    }));
    assertClose(first[rank]?.y?.data as Float32Array, synced, 1e-5);
    const used = (group: number) =>
      (staleStatistics[statistics] as (typeof staleStatistics)[0])(
        bands(before, group),
        bands(now, group),
        rank,
      );
    assertClose(
      second[rank]?.y?.data as Float32Array,
      normalized(inputs(now)[rank] as Float32Tensors, used),
      1e-5,
    );
  }
  layer.close();
}

modes.forEach((mode, statistics) => {
  transportTest(`PatchGroupNorm with ${mode} statistics weighs uneven bands by their size`, (transport) =>
    checkPatchGroupNorm(
      transport,
      statistics,
      ramp([1, channels, total, width], 1, 1),
      ramp([1, channels, total, width], 1.5, 0.5),
    ),
  );
});

transportTest(
  "a negative corrected variance becomes the own band's, and the mean stays corrected",
  async (transport) => {
    // Rank 1 has row 3 alone: it lies below the mean of all bands and moves far above it.
    const withRow = (level: number) => {
      const x = ramp([1, channels, total, width], 0.1, 0);
      x.data.forEach((_, i) => {
        if (Math.floor(i / width) % total === 3) x.data[i] += level;
      });
      return x;
    };
    const [before, now] = [withRow(-1), withRow(1)];
    const statistics = (x: Tensor<'float32'>) => bandsOf(x).map((band) => statisticsOf(band.x, 0));
    const [old, own] = [statistics(before), statistics(now)[1] as Statistics];
    const mean = pooled(old).mean + own.mean - (old[1] as Statistics).mean;
    const square = pooled(old).square + own.square - (old[1] as Statistics).square;
    assert.ok(square - mean * mean < -epsilon, 'the case needs the fallback');
    await checkPatchGroupNorm(transport, 2, before, now);
  },
);

transportTest('an error names rank, step, layer, operation and the peer waited for', async (transport) => {
  const layer = await LayerRanks.create(transport, haloLayer(true), 200);
  const x = ramp([2, 3, total, 5]);
  await assert.rejects(layer.run(1, bandsOf(x)[1] as Float32Tensors, { ...synchronous(0), call: 7 }), {
    code: 'COMM_TIMEOUT',
    message: /^rank 1, step 7, mid_block\.layer \(HaloExchange\): waited 0\.2 s for rank 0$/,
  });
  layer.close();
});

transportTest('abort wakes an operator that waits', async (transport) => {
  const layer = await LayerRanks.create(transport, haloLayer(true), 60_000);
  const run = layer.run(1, bandsOf(ramp([2, 3, total, 5]))[1] as Float32Tensors, synchronous(0));
  setTimeout(() => layer.ranks.liveness.abort(2), 50);
  await assert.rejects(run, {
    code: 'COMM_ABORTED',
    message: /^rank 1, step 0, mid_block\.layer \(HaloExchange\): /,
  });
  layer.close();
});

transportTest(
  'a slot of another size than the layer needs is an error of the protocol',
  async (transport) => {
    const layer = await LayerRanks.create(transport, { ...haloLayer(true), bytes: [240, 244, 240] });
    await assert.rejects(layer.run(1, bandsOf(ramp([2, 3, total, 5]))[1] as Float32Tensors, synchronous(0)), {
      code: 'COMM_PROTOCOL',
      message: /slot 0 of rank 1 has 244 bytes, the operator needs 240$/,
    });
    layer.close();
  },
);

transportTest('a graph that exchanges refuses to run without a step', async (transport) => {
  const layer = await LayerRanks.create(transport, haloLayer(true));
  const y = float32([2, 3, 5, 5]);
  const run = (layer.sessions[0] as Session).run({ x: ramp([2, 3, 3, 5]) }, { y });
  await assert.rejects(run, { code: 'ORT', message: 'a graph that exchanges needs a step' });
  layer.close();
});
