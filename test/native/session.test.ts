import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Session } from '../../src/engine/addon.js';
import { probeAddon } from '../../src/engine/load.js';
import { Graph } from '../../src/graph/graph.js';
import { float32, int64, type Tensor } from '../../src/tensor/tensor.js';
import { addon, convolutions, create, ramp, singleNode, stepModel } from './support.js';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'distri-session-'));
});
after(() => rm(folder, { recursive: true }));

const shape = [1, 1, 3, 4];

/** y = x convolved with a kernel that picks the pixel below and to the right. */
function shiftingConvolution(): Uint8Array {
  const kernel = float32([1, 1, 3, 3], Float32Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1));
  return convolutions(1, 1, 3, (graph) => graph.constant('w', kernel));
}

test('a graph runs on memory of the caller', async () => {
  const session = await create(shiftingConvolution());
  assert.deepEqual([session.inputs, session.outputs], [['x'], ['y']]);
  const x = float32([1, 1, 3, 3], Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9));
  const memory = new Float32Array(20).fill(-1);
  const y = float32([1, 1, 3, 3], memory.subarray(5, 14));
  await session.run({ x }, { y });
  assert.deepEqual([...memory.subarray(4, 15)], [-1, 5, 6, 0, 8, 9, 0, 0, 0, 0, -1]);
  session.release();
});

test('weights are read at any offset of a file', async () => {
  const file = join(folder, 'weights');
  const values = Float32Array.of(3, -1, 2);
  await writeFile(file, Buffer.concat([Buffer.from('odd'), Buffer.from(values.buffer)]));
  const graph = new Graph();
  const x = graph.input('x', 'float32', [3], 'step');
  const w = graph.weight({ name: 'w', dtype: 'F32', shape: [3], file, offset: 3, length: 12 });
  graph.output(graph.node({ op: 'Mul', name: 'y', inputs: [x, w] }, [3]));
  for (const weights of ['shared', 'private'] as const) {
    const session = await create(stepModel(graph), { weights });
    const y = float32([3]);
    await session.run({ x: float32([3], Float32Array.of(1, 10, 100)) }, { y });
    assert.deepEqual([...y.data], [3, -10, 200]);
    session.release();
  }
});

test('shared weights stay in the page cache, private ones are copied, and the results agree', async () => {
  const channels = 960;
  const length = channels * channels * 9 * 4;
  const file = join(folder, 'large');
  const values = ramp([channels * channels * 9], 1e-3, -1e-3).data;
  await writeFile(file, new Uint8Array(values.buffer));
  const w = { name: 'w', dtype: 'F32', shape: [channels, channels, 3, 3], file, offset: 0, length } as const;
  const model = convolutions(1, channels, 8, (graph) => graph.weight(w));
  const x = ramp([1, channels, 8, 8]);
  const results: Tensor<'float32'>[] = [];
  const growth: number[] = [];
  for (const weights of ['shared', 'private'] as const) {
    const y = float32(x.shape);
    const start = await privateMemory();
    const session = await create(model, { weights });
    await session.run({ x }, { y });
    growth.push((await privateMemory()) - start);
    results.push(y);
    session.release();
  }
  assert.ok((growth[0] as number) < 0.5 * length, `shared weights took ${growth[0]} bytes of ${length}`);
  assert.ok((growth[1] as number) > 0.9 * length, `private weights took ${growth[1]} bytes of ${length}`);
  assertClose(results[0]?.data as Float32Array, results[1]?.data as Float32Array, 1e-4);
});

async function privateMemory(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  return 1024 * Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]);
}

function assertClose(actual: Float32Array, expected: Float32Array, tolerance: number): void {
  actual.forEach((value, i) => {
    const error = Math.abs(value - (expected[i] as number));
    assert.ok(error <= tolerance, `${value} at ${i} is ${error} off`);
  });
}

/** Collects what nothing refers to any more. */
async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) {
    // What a WeakRef was made of or looked at stays until the turn ends.
    await nextTurn();
    collect();
  }
}

/** A session whose weights are given, and what tells whether they are still there. */
async function withGivenWeights(): Promise<{ session: Session; weights: WeakRef<Float32Array> }> {
  const graph = new Graph();
  const x = graph.input('x', 'float32', [3], 'step');
  const w = graph.weight({ name: 'w', dtype: 'F32', shape: [3], file: '/nowhere', offset: 0, length: 12 });
  graph.output(graph.node({ op: 'Mul', name: 'y', inputs: [x, w] }, [3]));
  const data = Float32Array.of(3, -1, 2);
  const session = await create(stepModel(graph), { initializers: { w: float32([3], data) } });
  return { session, weights: new WeakRef(data) };
}

test('a session keeps the weights that it was given, for as long as it is not released', async () => {
  const { session, weights } = await withGivenWeights();
  await collectGarbage();
  assert.ok(weights.deref(), 'the weights are gone while the session uses them');
  const y = float32([3]);
  await session.run({ x: float32([3], Float32Array.of(1, 10, 100)) }, { y });
  assert.deepEqual([...y.data], [3, -10, 200]);
  session.release();
  await collectGarbage();
  assert.equal(weights.deref(), undefined, 'the weights stay though the session is released');
});

test('what does not fit the graph is refused by name', async () => {
  const session = await create(shiftingConvolution());
  const x = float32([1, 1, 3, 3]);
  const y = float32([1, 1, 3, 3]);
  const broken = { dtype: 'float32', shape: x.shape, data: new Float32Array(8) } as const;
  const cases: [Promise<void>, RegExp][] = [
    [session.run({}, { y }), /^input x is missing; the graph has x$/],
    [session.run({ x }, {}), /^output y is missing; the graph has y$/],
    [session.run({ x, z: x }, { y }), /^the graph has no input z; it has x$/],
    [
      session.run({ x: float32(shape) }, { y }),
      /^input x has shape \[1, 1, 3, 4\], the graph \[1, 1, 3, 3\]$/,
    ],
    [session.run({ x: int64([1, 1, 3, 3]) }, { y }), /^input x is int64, the graph wants float32$/],
    [session.run({ x }, { y: broken }), /^output y has 32 bytes of data, shape \[1, 1, 3, 3\] needs 36$/],
  ];
  for (const [run, message] of cases) await assert.rejects(run, { code: 'ORT', message });
  session.release();
  await assert.rejects(session.run({ x }, { y }), { code: 'ORT', message: 'the session is released' });
});

test('options that make no sense are refused by name', async () => {
  const model = shiftingConvolution();
  const wrong: readonly [Readonly<Record<string, unknown>>, RegExp][] = [
    [{ threads: 0 }, /^Expected an integer from 1 to 1024 for threads but received 0$/],
    [{ threads: 2.5 }, /for threads/],
    [{ threads: 1e10 }, /for threads/],
    [{ threads: undefined }, /for threads but received nothing$/],
    [{ weights: 'both' }, /^Expected shared or private for weights but received both$/],
    [{ memory: 'some' }, /^Expected kept or freed for memory/],
    [{ rank: -1 }, /for rank/],
    [{ profile: 7 }, /^Expected a string for profile/],
    [{ initializers: 7 }, /^Expected an object for initializers/],
    [{ communicator: null }, /^Expected a Communicator/],
  ];
  for (const [options, message] of wrong) {
    const refused = create(model, options);
    await assert.rejects(refused, (error) => error instanceof TypeError || error instanceof RangeError);
    await assert.rejects(refused, { message });
  }
  await assert.rejects(create(new Float32Array(3) as never), /^TypeError: Expected a Uint8Array for model/);
  await assert.rejects(create('model' as never), /^TypeError: Expected a Uint8Array for model/);
});

test('a step that makes no sense is refused by name', async () => {
  const session = await create(shiftingConvolution());
  const x = float32([1, 1, 3, 3]);
  const step = { call: 0, tick: 0, readTick: 0, publish: true };
  for (const [changes, message] of [
    [{ tick: -1 }, /for tick/],
    [{ readTick: 0.5 }, /for readTick/],
    [{ call: '1' }, /for call/],
    [{ publish: 1 }, /^Expected true or false for publish/],
  ] as const) {
    const run = session.run({ x }, { y: x }, { ...step, ...changes } as never);
    await assert.rejects(run, { message });
  }
  await assert.rejects(session.run({ x }, { y: x }, 3 as never), /^TypeError: Expected an object for step/);
  session.release();
});

test('a model that is none is refused', async () => {
  await assert.rejects(create(Uint8Array.of(1, 2, 3)), { code: 'ORT' });
});

test('a missing attribute is named with its node', async () => {
  const model = singleNode('GroupNorm', { x: [1, 2, 3], s: [2], b: [2] }, { y: [1, 2, 3] });
  const message = /^rank 3, mid_block\.layer \(GroupNorm\): .*'groups'/;
  await assert.rejects(create(model, { rank: 3 }), { code: 'ORT', message });
});

test('an operator that exchanges needs a communicator', async () => {
  const attributes = Object.fromEntries(
    Object.entries({ slot: 0, above: -1, below: 1, fresh: 1 }).map(([key, value]) => [
      key,
      { type: 'int', value } as const,
    ]),
  );
  const model = singleNode('HaloExchange', { x: [1, 1, 2, 2] }, { y: [1, 1, 4, 2] }, attributes);
  await assert.rejects(create(model), { message: /mid_block\.layer \(HaloExchange\): .*no communicator/ });
});

/** A session whose run takes a while, in many nodes. */
function slowSession(): Promise<Session> {
  const weight = ramp([32, 32, 3, 3], 1e-2);
  return create(convolutions(200, 32, 64, (graph, i) => graph.constant(`w${i}`, weight)));
}

test('a terminated run fails soon and the next one succeeds', async () => {
  const session = await slowSession();
  const x = ramp([1, 32, 64, 64], 1e-3);
  const y = float32(x.shape);
  session.terminate();
  const run = session.run({ x }, { y });
  session.terminate();
  await assert.rejects(run, { code: 'ORT', message: /terminate flag/ });
  await session.run({ x }, { y });
  session.release();
});

test('a session runs one graph at a time and is not released meanwhile', async () => {
  const session = await slowSession();
  const x = ramp([1, 32, 64, 64], 1e-3);
  const run = session.run({ x }, { y: float32(x.shape) });
  const message = 'a run of this session is in progress';
  await assert.rejects(session.run({ x }, { y: float32(x.shape) }), { message });
  assert.throws(() => session.release(), { message });
  session.terminate();
  await assert.rejects(run);
  session.release();
});

test('a profile names the nodes', async () => {
  const session = await create(shiftingConvolution(), { profile: join(folder, 'profile') });
  await session.run({ x: float32([1, 1, 3, 3]) }, { y: float32([1, 1, 3, 3]) });
  session.release();
  const file = (await readdir(folder)).find((name) => /^profile_.*\.json$/.test(name));
  assert.match(await readFile(join(folder, file as string), 'utf8'), /"y_kernel_time"/);
});

test('sessions only come from Session.create', () => {
  const Constructor = addon.Session as unknown as new () => Session;
  assert.throws(() => new Constructor(), /Session\.create/);
});

test('the library is loaded once', async () => {
  const { library, version } = await probeAddon();
  assert.match(version, /^1\.\d+\.\d+$/);
  assert.equal(addon.loadOnnxRuntime(library), version);
  assert.throws(() => addon.loadOnnxRuntime('/nowhere/libonnxruntime.so'), /already loaded from/);
});

test('what else the probing process prints does no harm', async () => {
  const noisy = join(folder, 'noisy.cjs');
  await writeFile(
    noisy,
    "console.log('{hello}'); console.error('world'); process.on('exit', () => console.log('bye'));",
  );
  const before = process.env.NODE_OPTIONS;
  process.env.NODE_OPTIONS = `--require ${noisy}`;
  try {
    assert.match((await probeAddon()).version, /^1\./);
  } finally {
    if (before === undefined) delete process.env.NODE_OPTIONS;
    else process.env.NODE_OPTIONS = before;
  }
});

test('a library that is not ONNX Runtime is explained', async () => {
  process.env.DISTRI_ORT_LIBRARY = join(folder, 'nothing.so');
  try {
    await assert.rejects(probeAddon(), {
      code: 'native',
      message: /Could not load the native addon\nReason: .*nothing\.so[\s\S]*Possible solutions:\n- /,
    });
  } finally {
    delete process.env.DISTRI_ORT_LIBRARY;
  }
});

test('affinity is for this thread and refuses CPUs that do not exist', async () => {
  const allowed = /Cpus_allowed_list:\s+(\d+)/.exec(await readFile('/proc/self/status', 'utf8'))?.[1];
  addon.setAffinity([Number(allowed)]);
  assert.match(
    await readFile('/proc/self/status', 'utf8'),
    new RegExp(`Cpus_allowed_list:\\s+${allowed}\\n`),
  );
  assert.throws(() => addon.setAffinity([100_000]), RangeError);
  assert.throws(() => addon.setAffinity([]), /affinity/);
});
