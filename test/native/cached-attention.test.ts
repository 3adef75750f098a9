import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Session, Step } from '../../src/engine/addon.js';
import { int, ints } from '../../src/graph/value.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';
import { connectRanks, create, ramp, singleNode, transportTest } from './support.js';

const HEADS = 2;
const CHANNELS = 8;
const TOKENS = 6;
const BATCH = 2;

/** An operator that takes two tokens at a time. */
function cached(): Promise<Session> {
  const shape = [BATCH, 2, CHANNELS];
  const inputs = { q: shape, k: shape, v: shape, place: [3] };
  return create(singleNode('CachedAttention', inputs, { y: shape }, attributes([0], 0)));
}

function attributes(peers: readonly number[], index: number) {
  return { heads: int(HEADS), tokens: int(TOKENS), slot: int(0), peers: ints(peers), index: int(index) };
}

/** Keys, values and queries of two tokens of an image, different for all arguments. */
function band(first: number, step: number, image: number) {
  const of = (kind: number) => ramp([BATCH, 2, CHANNELS], 0.5, 1 + kind + 3 * first + 31 * step + 97 * image);
  return { q: of(0), k: of(1), v: of(2) };
}

function step(call: number, image: number): Step {
  return { call, tick: 10 * image + call, readTick: 10 * image, publish: true };
}

async function attendBand(session: Session, first: number, call: number, image = 0): Promise<Float32Array> {
  const y = float32([BATCH, 2, CHANNELS]);
  const place = float32([3], Float32Array.of(0, first, 2));
  await session.run({ ...band(first, call, image), place }, { y }, step(call, image));
  return y.data;
}

/**
 * The same by an Attention to tokens that are put together here; `seen` are bands as [first token, step], in
 * order.
 */
async function attendTogether(
  first: number,
  call: number,
  seen: readonly (readonly [first: number, step: number])[],
  image = 0,
): Promise<Float32Array> {
  const join = (part: 'k' | 'v'): Tensor<'float32'> => {
    const whole = float32([BATCH, 2 * seen.length, CHANNELS]);
    for (const [index, [start, when]] of seen.entries()) {
      const { data } = band(start, when, image)[part];
      for (let row = 0; row < BATCH; row++) {
        const to = (row * 2 * seen.length + 2 * index) * CHANNELS;
        whole.data.set(data.subarray(row * 2 * CHANNELS, (row + 1) * 2 * CHANNELS), to);
      }
    }
    return whole;
  };
  const { q } = band(first, call, image);
  const [k, v] = [join('k'), join('v')];
  const shapes = { q: q.shape, k: k.shape, v: v.shape };
  const session = await create(singleNode('Attention', shapes, { y: q.shape }, { heads: int(HEADS) }));
  const y = float32(q.shape);
  await session.run({ q, k, v }, { y });
  session.release();
  return y.data;
}

test('a band sees its own tokens and earlier ones of this step, later ones of the step before', async () => {
  const session = await cached();
  // Nothing is there yet but what bands before have brought.
  assert.deepEqual(await attendBand(session, 0, 0), await attendTogether(0, 0, [[0, 0]]));
  assert.deepEqual(
    await attendBand(session, 2, 0),
    await attendTogether(2, 0, [
      [0, 0],
      [2, 0],
    ]),
  );
  assert.deepEqual(
    await attendBand(session, 4, 0),
    await attendTogether(4, 0, [
      [0, 0],
      [2, 0],
      [4, 0],
    ]),
  );
  assert.deepEqual(
    await attendBand(session, 0, 1),
    await attendTogether(0, 1, [
      [0, 1],
      [2, 0],
      [4, 0],
    ]),
  );
  assert.deepEqual(
    await attendBand(session, 2, 1),
    await attendTogether(2, 1, [
      [0, 1],
      [2, 1],
      [4, 0],
    ]),
  );
  session.release();
});

test('nothing of another image is seen', async () => {
  const session = await cached();
  for (const first of [0, 2, 4]) await attendBand(session, first, 0);
  assert.deepEqual(await attendBand(session, 0, 0, 1), await attendTogether(0, 0, [[0, 0]], 1));
  session.release();
});

test('a band that does not follow on what is there is refused', async () => {
  const session = await cached();
  await assert.rejects(
    attendBand(session, 4, 0),
    /mid_block.layer \(CachedAttention\): keys and values of tokens 0 to 3 are not there yet/,
  );
  await attendBand(session, 0, 0);
  await assert.rejects(attendBand(session, 6, 0), /not there yet|ends at token 8 of 6/);
  session.release();
});

transportTest('ranks that share a band see what the others bring, always of this step', async (transport) => {
  const half = [BATCH, 1, CHANNELS];
  const bytes = 4 * 2 * BATCH * CHANNELS;
  const ranks = await connectRanks(transport, 2, [[bytes, bytes]]);
  const part = (tensor: Tensor<'float32'>, token: number): Tensor<'float32'> => {
    const data = new Float32Array(BATCH * CHANNELS);
    for (let row = 0; row < BATCH; row++) {
      const from = (2 * row + token) * CHANNELS;
      data.set(tensor.data.subarray(from, from + CHANNELS), row * CHANNELS);
    }
    return float32(half, data);
  };
  const sessions = await Promise.all(
    ranks.communicators.map((communicator, index) => {
      const inputs = { q: half, k: half, v: half, place: [5] };
      return create(singleNode('CachedAttention', inputs, { y: half }, attributes([0, 1], index)), {
        communicator,
      });
    }),
  );
  const alone = await cached();
  for (const [tick, [first, call]] of (
    [
      [0, 0],
      [2, 0],
      [4, 0],
      [0, 1],
      [2, 1],
    ] as const
  ).entries()) {
    const wanted = await attendBand(alone, first, call);
    const { q, k, v } = band(first, call, 0);
    const results = await Promise.all(
      sessions.map(async (session, token) => {
        const y = float32(half);
        const place = float32([5], Float32Array.of(0, first, 1, first + 1, 1));
        const given = { q: part(q, token), k: part(k, token), v: part(v, token), place };
        await session.run(given, { y }, { call, tick, readTick: 0, publish: true });
        return y;
      }),
    );
    for (const [token, { data }] of results.entries()) {
      assert.deepEqual(data, part(float32([BATCH, 2, CHANNELS], wanted), token).data);
    }
  }
  for (const session of [...sessions, alone]) session.release();
  ranks.close();
});
