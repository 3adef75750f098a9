import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Communicator } from '../../src/engine/addon.js';
import { float32 } from '../../src/tensor/tensor.js';
import { addon, connectRanks, create, createWorld, singleNode } from './support.js';

/** Nothing of this is what any entry point wants, but for numbers and strings here and there. */
const nonsense: readonly unknown[] = [
  undefined,
  null,
  'text',
  Number.NaN,
  -1,
  1e300,
  10n,
  Symbol('symbol'),
  [],
  {},
  () => {},
  new Float32Array(3),
  new Proxy(
    {},
    {
      get: () => {
        throw new Error('a trap');
      },
    },
  ),
];

/**
 * Calls a method with wrong arguments in every place; whatever it does, it returns, throws or rejects with an
 * Error.
 */
async function provoke(name: string, call: (...values: unknown[]) => unknown, count: number): Promise<void> {
  for (const value of nonsense) {
    for (let place = 0; place < count; place++) {
      const values = Array.from({ length: count }, (_, index) => (index === place ? value : undefined));
      try {
        await call(...values);
      } catch (error) {
        assert.ok(error instanceof Error, `${name} threw ${String(error)}`);
      }
    }
  }
}

function identity(): Promise<Awaited<ReturnType<typeof create>>> {
  const attributes = { first: { type: 'int', value: -1 }, last: { type: 'int', value: -1 } } as const;
  const shape = [1, 1, 1, 1];
  return create(singleNode('ReplaceRows', { x: shape, rows: shape }, { y: shape }, attributes));
}

test('no argument of any entry point ends the process', async () => {
  const { liveness, communicators } = await connectRanks('shm', 1, [[8]]);
  const communicator = communicators[0] as Communicator;
  const session = await identity();
  const owners: readonly [string, object][] = [
    ['addon', addon],
    ['Session', addon.Session],
    ['Liveness', liveness],
    ['Communicator', communicator],
    ['Session', session],
  ];
  // What they do when all is well would end this test, or its communicator.
  const skipped = new Set(['constructor', 'exitNow', 'abort', 'close', 'release', 'connect']);
  for (const [name, owner] of owners) {
    const methods = new Set([
      ...Object.getOwnPropertyNames(owner),
      ...Object.getOwnPropertyNames(Object.getPrototypeOf(owner)),
    ]);
    for (const method of methods) {
      if (owner instanceof Function && method !== 'create') continue;
      const value = skipped.has(method) ? undefined : (Reflect.get(owner, method) as unknown);
      if (typeof value !== 'function') continue;
      if (method === 'Liveness' || method === 'Communicator' || method === 'Session') {
        await provoke(method, (...values) => Reflect.construct(value, values), 2);
      } else {
        await provoke(`${name}.${method}`, (...values) => Reflect.apply(value, owner, values), 4);
      }
    }
  }
  assert.throws(() => addon.exitNow('now' as never), TypeError);
  const y = float32([1, 1, 1, 1]);
  await session.run({ x: float32([1, 1, 1, 1], Float32Array.of(3)), rows: y }, { y });
  assert.equal(y.data[0], 3, 'the session still works');
  session.release();
  communicator.close();
});

test('a released session answers with an Error', async () => {
  const session = await identity();
  session.release();
  const released = { code: 'ORT', message: 'the session is released' };
  assert.throws(() => session.inputs, released);
  assert.throws(() => session.outputs, released);
  await assert.rejects(session.run({}, {}), released);
  session.terminate();
  session.release();
});

test('methods and accessors refuse an object of another class', async () => {
  const session = await identity();
  const liveness = new addon.Liveness(createWorld('shm', 1).run);
  const inputs = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(session), 'inputs')?.get;
  assert.ok(inputs);
  for (const wrong of [liveness, {}, Object.create(session)]) {
    assert.throws(() => Reflect.apply(inputs, wrong, []), Error);
    assert.throws(() => Reflect.apply(session.terminate, wrong, []), Error);
  }
  session.release();
});
