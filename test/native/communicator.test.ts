import assert from 'node:assert/strict';
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Communicator, CommunicatorOptions } from '../../src/engine/addon.js';
import { availableMemory } from '../../src/machine/memory.js';
import { readByAll } from '../../src/ranks/channels.js';
import {
  addon,
  communicatorOptions,
  connectAll,
  connectRanks,
  create,
  createWorld,
  type Ranks,
  ramp,
  singleNode,
  transportTest,
} from './support.js';

/** Options of rank 0 of a new run of two, changed by `changes`. */
function twoRanks(transport: string, changes: Readonly<Record<string, unknown>> = {}): CommunicatorOptions {
  const options = communicatorOptions(createWorld(transport, 2), [[8, 8]]);
  return { ...options, timeout: 200, ...changes };
}

const all = <T>(ranks: Ranks, call: (communicator: Ranks['communicators'][0], rank: number) => Promise<T>) =>
  Promise.all(ranks.communicators.map(call));

/** Two views of one run, as its parent and a rank have them. */
function views(transport: string, worldSize: number) {
  const { run } = createWorld(transport, worldSize);
  return [new addon.Liveness(run), new addon.Liveness(run)] as const;
}

transportTest('the first abort of a run is kept, whoever looks at it', (transport) => {
  const [parent, rank] = views(transport, 3);
  assert.equal(rank.abortedBy(), undefined);
  parent.abort(-1);
  rank.abort(2);
  assert.equal(rank.abortedBy(), -1);
});

transportTest("silence is the time since a rank's last beat", async (transport) => {
  const [parent, rank] = views(transport, 2);
  assert.equal(parent.silence(1), undefined);
  rank.beat(1);
  await delay(30);
  const silence = parent.silence(1) as number;
  assert.ok(silence >= 29 && silence < 5000, `${silence} ms`);
  assert.equal(parent.silence(0), undefined);
});

test('what shows life keeps working when its descriptor is closed', () => {
  const { run } = createWorld('shm', 2);
  const liveness = new addon.Liveness(run);
  closeSync(run.controlFd);
  liveness.abort(1);
  assert.equal(liveness.abortedBy(), 1);
});

test('a control block refuses what it can not be', () => {
  const { run } = createWorld('shm', 2);
  const liveness = new addon.Liveness(run);
  const construct = (changes: Readonly<Record<string, unknown>>) =>
    Reflect.construct(addon.Liveness, [{ ...run, ...changes }]);
  for (const changes of [{ worldSize: 3 }, { channels: 2 }]) {
    assert.throws(() => construct(changes), {
      code: 'COMM_PROTOCOL',
      message: /made for 2 ranks and 1 channels, not/,
    });
  }
  assert.throws(() => construct({ controlFd: '1' }), TypeError);
  assert.throws(
    () => construct({ worldSize: undefined }),
    /^TypeError: Expected an integer from 1 to 1024 for worldSize but received nothing$/,
  );
  for (const worldSize of [0, 1.5, 1e9, Number.NaN])
    assert.throws(() => construct({ worldSize }), RangeError);
  for (const channels of [0, 17]) assert.throws(() => construct({ channels }), RangeError);
  assert.throws(
    () => construct({ transport: 'pigeons' }),
    /^TypeError: Expected shm for transport but received pigeons$/,
  );
  for (const rank of [-1, 2, 0.5]) {
    assert.throws(() => liveness.beat(rank), RangeError);
    assert.throws(() => liveness.silence(rank), RangeError);
  }
  assert.throws(() => liveness.abort(-2), RangeError);
});

test('transports say what they serve for', () => {
  assert.ok(addon.transports.includes('shm'));
  for (const name of addon.transports) assert.notEqual(addon.describeTransport(name).purpose, '');
  assert.equal(addon.describeTransport('shm').problem, undefined);
  assert.throws(() => addon.describeTransport('pigeons'), /there is no transport pigeons; there is shm/);
});

test('a file that is not shared memory is refused and left alone', () => {
  const folder = mkdtempSync(join(tmpdir(), 'distri-communicator-'));
  const path = join(folder, 'precious');
  writeFileSync(path, 'precious');
  const fd = openSync(path, 'r+');
  const refused = { code: 'COMM_PROTOCOL', message: /is not shared memory$/ };
  assert.throws(() => new addon.Liveness({ ...createWorld('shm', 2).run, controlFd: fd }), refused);
  assert.throws(() => new addon.Communicator(twoRanks('shm', { segmentFds: [fd, fd] })), refused);
  closeSync(fd);
  assert.equal(readFileSync(path, 'utf8'), 'precious');
  rmSync(folder, { recursive: true });
});

transportTest('options of a communicator are checked by name', (transport) => {
  const bytes = [8, 8];
  const readers = [[1], [0]];
  const wrong: readonly [Readonly<Record<string, unknown>>, RegExp][] = [
    [{ rank: 2 }, /^RangeError: Expected an integer from 0 to 1 for rank but received 2$/],
    [{ rank: undefined }, /^TypeError: .* for rank but received nothing$/],
    [{ worldSize: 0 }, /^RangeError: .* for worldSize/],
    [{ channel: 1 }, /^RangeError: Expected an integer from 0 to 0 for channel but received 1$/],
    [{ controlFd: -1 }, /^RangeError: .* for controlFd/],
    [{ segmentFds: [1] }, /^RangeError: Expected an array of 2 \(one per rank\) for segmentFds/],
    [{ segmentFds: 3 }, /^TypeError: .* for segmentFds/],
    [{ slots: [3] }, /^TypeError: Expected an object for slots\[0\]/],
    [
      {
        slots: [
          { bytes, readers },
          { bytes: [8], readers },
        ],
      },
      /^RangeError: .* for slots\[1\]\.bytes/,
    ],
    [{ slots: [{ bytes: [8, -8], readers }] }, /^RangeError: .* for slots\[0\]\.bytes\[1\]/],
    [{ slots: [{ bytes }] }, /^TypeError: .* for slots\[0\]\.readers/],
    [{ slots: [{ bytes, readers: [[1], [2]] }] }, /^RangeError: .* for slots\[0\]\.readers\[1\]\[0\]/],
    [{ headroom: -1 }, /^RangeError: .* for headroom/],
    [{ headroom: undefined }, /^TypeError: .* for headroom/],
    [{ timeout: Number.POSITIVE_INFINITY }, /^RangeError: .* for timeout/],
    [{ timeout: 0 }, /^RangeError: .* for timeout/],
    [{ generation: 0 }, /^RangeError: .* for generation/],
  ];
  for (const [changes, message] of wrong) {
    assert.throws(() => new addon.Communicator(twoRanks(transport, changes)), message);
  }
  assert.throws(() => Reflect.construct(addon.Communicator, []), TypeError);
});

test('memory that a control group does not have is refused, not allocated', async () => {
  const root = mkdtempSync(join(tmpdir(), 'distri-group-'));
  const files = {
    'proc/meminfo': 'MemAvailable:    8000000 kB\n',
    'proc/self/cgroup': '0::/ranks\n',
    'sys/fs/cgroup/ranks/memory.max': '50000000\n',
    'sys/fs/cgroup/ranks/memory.current': '30000000\n',
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  const headroom = availableMemory(root);
  rmSync(root, { recursive: true });
  assert.equal(headroom, 20_000_000);
  const fits = twoRanks('shm', { headroom, slots: readByAll([[4_000_000, 4_000_000]]) });
  for (const communicator of await connectAll(fits)) communicator.close();
  const options = twoRanks('shm', { headroom, slots: readByAll([[6_000_000, 6_000_000]]) });
  assert.throws(() => new addon.Communicator(options), {
    code: 'COMM_PROTOCOL',
    message: /^what 2 ranks exchange needs 23 MiB of memory, 19 MiB are available$/,
  });
  assert.deepEqual(
    options.segmentFds.map((descriptor) => fstatSync(descriptor).blocks),
    [0, 0],
  );
});

test('a descriptor that is not open is refused', () => {
  const options = twoRanks('shm', { controlFd: 1e6 });
  assert.throws(() => new addon.Communicator(options), /descriptor 1000000 for the control block/);
});

transportTest('broadcast copies any typed array from any root, also part of a buffer', async (transport) => {
  const ranks = await connectRanks(transport, 3, []);
  for (const root of [0, 1, 2]) {
    const sent = {
      floats: ramp([70_000]).data.map((value) => value + root),
      integers: BigInt64Array.from([1n, -2n, BigInt(root)]),
      bytes: new Uint8Array(1_000_001).map((_, i) => i * 7 + root),
    };
    const received = await all(ranks, async (communicator, rank) => {
      const copy = rank === root ? sent : undefined;
      // One element more at either end, which has to stay as it is.
      const around = new Float32Array(sent.floats.length + 2).fill(-1);
      const floats = around.subarray(1, -1);
      if (copy !== undefined) floats.set(copy.floats);
      const integers = copy?.integers ?? new BigInt64Array(3);
      const bytes = copy?.bytes ?? new Uint8Array(sent.bytes.length);
      for (const data of [floats, integers, bytes]) await communicator.broadcast(data, root);
      assert.deepEqual([around[0], around.at(-1)], [-1, -1]);
      return { floats, integers, bytes };
    });
    for (const copy of received) {
      assert.ok(
        Buffer.from(copy.floats.buffer, 4, sent.floats.byteLength).equals(Buffer.from(sent.floats.buffer)),
      );
      assert.deepEqual(copy.integers, sent.integers);
      assert.ok(Buffer.from(copy.bytes).equals(Buffer.from(sent.bytes)));
    }
  }
  await all(ranks, (communicator) => communicator.broadcast(new Uint8Array(0), 1));
  ranks.close();
});

transportTest('nobody passes a barrier before all have come', async (transport) => {
  const ranks = await connectRanks(transport, 3, []);
  let arrived = 0;
  await all(ranks, async (communicator, rank) => {
    await delay(rank * 40);
    arrived += 1;
    await communicator.barrier();
    assert.equal(arrived, 3);
  });
  ranks.close();
});

transportTest('statistics count what was sent, received and waited for', async (transport) => {
  const ranks = await connectRanks(transport, 2, []);
  const [first, second] = await all(ranks, async (communicator, rank) => {
    await delay(rank * 60);
    await communicator.broadcast(new Uint8Array(1000), 1);
    return communicator.statistics();
  });
  assert.equal(first?.bytesFetched, 1000);
  assert.equal(second?.bytesPublished, 1000);
  assert.ok((first?.waited as number) >= 40, `${first?.waited} ms`);
  ranks.close();
});

transportTest('a missing peer is a timeout that names it', async (transport) => {
  const alone = new addon.Communicator(twoRanks(transport));
  await assert.rejects(alone.connect(), { code: 'COMM_TIMEOUT', message: 'waited 0.2 s for rank 1' });
  const ranks = await connectRanks(transport, 2, [], 200);
  const [first] = ranks.communicators;
  await assert.rejects(first?.barrier() as Promise<void>, { code: 'COMM_TIMEOUT' });
  ranks.close();
});

transportTest('a peer that is alive is waited for, one that falls silent is not', async (transport) => {
  const ranks = await connectRanks(transport, 2, [], 200);
  const [first, second] = ranks.communicators as [Communicator, Communicator];
  const beat = setInterval(() => ranks.liveness.beat(1), 20).unref();
  const meeting = first.barrier();
  await delay(600);
  await Promise.all([meeting, second.barrier()]);
  const waiting = first.barrier();
  clearInterval(beat);
  await assert.rejects(waiting, { code: 'COMM_TIMEOUT' });
  ranks.close();
});

transportTest('abort ends what is waiting within 100 ms, and what waits later', async (transport) => {
  const ranks = await connectRanks(transport, 2, [], 60_000);
  const [first] = ranks.communicators;
  const waiting = first?.barrier() as Promise<void>;
  let abortedAt = 0;
  setTimeout(() => {
    abortedAt = performance.now();
    ranks.liveness.abort(1);
  }, 50);
  await assert.rejects(waiting, { code: 'COMM_ABORTED', message: 'rank 1 stopped the run' });
  const late = performance.now() - abortedAt;
  assert.ok(late < 100, `${late} ms`);
  await assert.rejects(first?.broadcast(new Uint8Array(1), 1) as Promise<void>, { code: 'COMM_ABORTED' });
  ranks.close();
});

transportTest('the JavaScript thread runs on while a rank waits', async (transport) => {
  const ranks = await connectRanks(transport, 2, []);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  await all(ranks, async (communicator, rank) => {
    await delay(rank * 200);
    await communicator.barrier();
  });
  clearInterval(timer);
  assert.ok(ticks >= 10, `${ticks} ticks`);
  ranks.close();
});

transportTest('ranks that disagree on the slots do not connect', async (transport) => {
  const options = twoRanks(transport);
  const peer = new addon.Communicator({ ...options, rank: 1, slots: readByAll([[4, 12]]) });
  const own = new addon.Communicator(options);
  for (const result of await Promise.allSettled([own.connect(), peer.connect()])) {
    assert.equal(result.status === 'rejected' && result.reason.code, 'COMM_PROTOCOL');
  }
});

transportTest('a later communicator of a channel may have other slots', async (transport) => {
  const options = twoRanks(transport, { timeout: 5000 });
  for (const [index, bytes] of [8, 3_000_000, 0, 100].entries()) {
    const slots = readByAll([[bytes, 2 * bytes]]);
    const ranks = await connectAll({ ...options, slots, generation: index + 1 });
    await Promise.all(ranks.map((communicator) => communicator.barrier()));
    for (const communicator of ranks) communicator.close();
  }
});

transportTest('a communicator that is still in use stops the next one of its channel', async (transport) => {
  const options = communicatorOptions(createWorld(transport, 1), []);
  const first = new addon.Communicator(options);
  await first.connect();
  const second = new addon.Communicator({ ...options, generation: 2 });
  await assert.rejects(second.connect(), { code: 'COMM_PROTOCOL', message: /still uses .* generation 1$/ });
  first.close();
  await second.connect();
  second.close();
});

/** Leaves a number that says where it comes from on rank 0, and finds it on rank 1. */
async function checkSlot(ranks: readonly Communicator[], tick: number, value: number): Promise<void> {
  const [first, second] = ranks as [Communicator, Communicator];
  first.publish(0, tick, Float32Array.of(value));
  const received = new Float32Array(1);
  await second.fetch(0, 0, tick, received);
  assert.equal(received[0], value);
}

transportTest('communicators of several channels are used at the same time', async (transport) => {
  const world = createWorld(transport, 2, 2);
  const [left, right] = await Promise.all(
    [0, 1].map((channel) => connectAll(communicatorOptions(world, [[4, 4]], channel))),
  );
  for (const tick of [0, 1, 2, 3]) {
    await checkSlot(left as Communicator[], tick, 10 + tick);
    await checkSlot(right as Communicator[], tick, 20 + tick);
    // A barrier of one channel passes while a rank of the other still waits at its own.
    const waiting = (right as Communicator[])[0]?.barrier();
    await Promise.all((left as Communicator[]).map((communicator) => communicator.barrier()));
    await Promise.all([waiting, (right as Communicator[])[1]?.barrier()]);
  }
  for (const communicator of [left, right].flat()) communicator?.close();
});

transportTest('a channel is closed and connected again while another one stays', async (transport) => {
  const world = createWorld(transport, 2, 2);
  const staying = await connectAll(communicatorOptions(world, [[4, 4]], 0));
  await checkSlot(staying, 0, 1);
  for (const [index, bytes] of [40_000, 4, 1_000_000].entries()) {
    const options = { ...communicatorOptions(world, [[bytes, bytes]], 1), generation: index + 1 };
    const changing = await connectAll(options);
    await Promise.all(changing.map((communicator) => communicator.barrier()));
    await checkSlot(staying, index + 1, index);
    for (const communicator of changing) communicator.close();
  }
  await checkSlot(staying, 4, 5);
  for (const communicator of staying) communicator.close();
});

transportTest('an abort ends the waits of all channels', async (transport) => {
  const world = createWorld(transport, 2, 2);
  const ranks = await Promise.all(
    [0, 1].map((channel) => connectAll({ ...communicatorOptions(world, [], channel), timeout: 60_000 })),
  );
  const waits = ranks.map(([first]) => first?.barrier() as Promise<void>);
  setTimeout(() => new addon.Liveness(world.run).abort(-1), 50);
  await Promise.all(waits.map((wait) => assert.rejects(wait, { code: 'COMM_ABORTED' })));
  for (const communicator of ranks.flat()) communicator.close();
});

transportTest('one call at a time; a closed communicator is unusable', async (transport) => {
  const ranks = await connectRanks(transport, 2, []);
  const [first, second] = ranks.communicators as [Ranks['communicators'][0], Ranks['communicators'][0]];
  const barrier = first.barrier();
  const busy = { code: 'COMM_PROTOCOL', message: /busy/ };
  await assert.rejects(first.broadcast(new Uint8Array(1), 0), busy);
  assert.throws(() => first.close(), busy);
  await Promise.all([barrier, second.barrier()]);
  ranks.close();
  first.close();
  const closed = { code: 'COMM_PROTOCOL', message: 'the communicator is closed' };
  await assert.rejects(first.barrier(), closed);
  await assert.rejects(first.connect(), closed);
  assert.throws(() => first.statistics(), closed);
});

transportTest('wrong arguments of broadcast reject', async (transport) => {
  const ranks = await connectRanks(transport, 1, []);
  const [only] = ranks.communicators as [Ranks['communicators'][0]];
  const broadcast = (...values: unknown[]) => Reflect.apply(only.broadcast, only, values) as Promise<void>;
  await assert.rejects(broadcast([1, 2], 0), TypeError);
  await assert.rejects(broadcast(new Uint8Array(1)), TypeError);
  await assert.rejects(broadcast(new Uint8Array(1), 1), RangeError);
  ranks.close();
});

transportTest('a session takes no other object for a communicator', async (transport) => {
  const x = { x: [1, 1, 2, 2] };
  const border = { slot: 0, above: -1, below: -1, fresh: 1 };
  const attributes = Object.fromEntries(
    Object.entries(border).map(([name, value]) => [name, { type: 'int', value } as const]),
  );
  const model = singleNode('HaloExchange', x, { y: [1, 1, 4, 2] }, attributes);
  const impostor = new addon.Liveness(createWorld(transport, 1).run);
  await assert.rejects(create(model, { communicator: impostor as never }), {
    message: /^Expected a Communicator/,
  });
});

transportTest('what a rank publishes is fetched by tick, and waits for nobody', async (transport) => {
  const ranks = await connectRanks(transport, 2, [[8, 12]], 200);
  const [first, second] = ranks.communicators as [Ranks['communicators'][0], Ranks['communicators'][0]];
  first.publish(0, 3, Float32Array.of(1, 2));
  second.publish(0, 3, Float32Array.of(5, 6, 7));
  first.publish(0, 4, Float32Array.of(3, 4));
  const received = new Float32Array(2);
  await second.fetch(0, 0, 3, received);
  assert.deepEqual([...received], [1, 2]);
  await second.fetch(0, 0, 4, received);
  assert.deepEqual([...received], [3, 4]);
  await assert.rejects(second.fetch(0, 0, 5, received), { code: 'COMM_TIMEOUT' });
  first.publish(0, 5, Float32Array.of(8, 9));
  await assert.rejects(second.fetch(0, 0, 3, received), {
    code: 'COMM_PROTOCOL',
    message: /overwritten by tick 5/,
  });
  ranks.close();
});

transportTest('slots refuse data of another size, and ticks that were', async (transport) => {
  const ranks = await connectRanks(transport, 2, [[8, 12]], 200);
  const [first, second] = ranks.communicators as [Ranks['communicators'][0], Ranks['communicators'][0]];
  const size = /slot 0 of rank 0 has 8 bytes, the data 12/;
  assert.throws(() => first.publish(0, 0, new Float32Array(3)), { code: 'COMM_PROTOCOL', message: size });
  await assert.rejects(second.fetch(0, 0, 0, new Float32Array(3)), { code: 'COMM_PROTOCOL', message: size });
  assert.throws(() => first.publish(1, 0, new Float32Array(2)), /there is no slot 1/);
  first.publish(0, 2, new Float32Array(2));
  assert.throws(() => first.publish(0, 2, new Float32Array(2)), /comes after tick 2/);
  ranks.close();
});

transportTest('what is to be measured is checked by name', async (transport) => {
  const ranks = await connectRanks(transport, 1, [[8]]);
  const [only] = ranks.communicators as [Communicator];
  const measure = (changes: object) =>
    addon.measureExchange(only, { pattern: 'all_gather', slot: 0, iterations: 3, ...changes });
  for (const [changes, message] of [
    [
      { pattern: 'ring' },
      /^TypeError: Expected barrier or round_trip or all_gather for pattern but received ring$/,
    ],
    [{ slot: -1 }, /^RangeError: .* for slot/],
    [{ slot: 'x' }, /^TypeError: .* for slot/],
    [{ iterations: -1 }, /^RangeError: .* for iterations/],
    [{ iterations: 1e12 }, /^RangeError: .* for iterations/],
    [{ iterations: undefined }, /^TypeError: .* for iterations/],
    [{ slot: 1 }, /there is no slot 1/],
  ] as const) {
    await assert.rejects(measure(changes), message);
  }
  assert.equal((await measure({})).length, 3);
  ranks.close();
});
