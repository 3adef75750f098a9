import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { CommunicatorOptions } from '../../src/engine/addon.js';
import { addon, connectRanks, create, type Ranks, ramp, singleNode } from './support.js';

/** Options of rank 0 of a new run of two, changed by `changes`. */
function twoRanks(changes: Readonly<Record<string, unknown>> = {}): CommunicatorOptions {
  const controlFd = addon.createSharedMemory('test-control');
  const segmentFds = [0, 1].map((rank) => addon.createSharedMemory(`test-rank-${rank}`));
  const options = { rank: 0, worldSize: 2, controlFd, segmentFds, slotBytes: [[8, 8]], timeout: 200 };
  return { ...options, generation: 1, ...changes };
}

/** Both ranks of a run over the descriptors of `options`. */
function bothRanks(options: CommunicatorOptions) {
  return [0, 1].map((rank) => new addon.Communicator({ ...options, rank }));
}

const all = <T>(ranks: Ranks, call: (communicator: Ranks['communicators'][0], rank: number) => Promise<T>) =>
  Promise.all(ranks.communicators.map(call));

test('the first abort of a run is kept, whoever looks at it', () => {
  const fd = addon.createSharedMemory('test-control');
  const [parent, rank] = [new addon.ControlBlock(fd, 3), new addon.ControlBlock(fd, 3)];
  assert.equal(rank.abortedBy(), undefined);
  parent.abort(-1);
  rank.abort(2);
  assert.equal(rank.abortedBy(), -1);
});

test("silence is the time since a rank's last beat", async () => {
  const fd = addon.createSharedMemory('test-control');
  const [parent, rank] = [new addon.ControlBlock(fd, 2), new addon.ControlBlock(fd, 2)];
  assert.equal(parent.silence(1), undefined);
  rank.beat(1);
  await delay(30);
  const silence = parent.silence(1) as number;
  assert.ok(silence >= 29 && silence < 5000, `${silence} ms`);
  assert.equal(parent.silence(0), undefined);
});

test('a control block keeps working when its descriptor is closed', () => {
  const fd = addon.createSharedMemory('test-control');
  const control = new addon.ControlBlock(fd, 2);
  closeSync(fd);
  control.abort(1);
  assert.equal(control.abortedBy(), 1);
});

test('a control block refuses what it can not be', () => {
  const fd = addon.createSharedMemory('test-control');
  const control = new addon.ControlBlock(fd, 2);
  const construct = (...values: unknown[]) =>
    Reflect.construct(addon.ControlBlock, values) as InstanceType<typeof addon.ControlBlock>;
  assert.throws(() => construct(fd, 3), { code: 'COMM_PROTOCOL', message: /made for 2 ranks, not 3$/ });
  assert.throws(() => construct('1', 2), TypeError);
  assert.throws(
    () => construct(fd),
    /^TypeError: Expected an integer from 1 to 1024 for worldSize but received nothing$/,
  );
  for (const worldSize of [0, 1.5, 1e9, Number.NaN])
    assert.throws(() => construct(fd, worldSize), RangeError);
  for (const rank of [-1, 2, 0.5]) {
    assert.throws(() => control.beat(rank), RangeError);
    assert.throws(() => control.silence(rank), RangeError);
  }
  assert.throws(() => control.abort(-2), RangeError);
});

test('a file that is not shared memory is refused and left alone', () => {
  const folder = mkdtempSync(join(tmpdir(), 'distri-communicator-'));
  const path = join(folder, 'precious');
  writeFileSync(path, 'precious');
  const fd = openSync(path, 'r+');
  const refused = { code: 'COMM_PROTOCOL', message: /is not shared memory$/ };
  assert.throws(() => new addon.ControlBlock(fd, 2), refused);
  assert.throws(() => new addon.Communicator(twoRanks({ segmentFds: [fd, fd] })), refused);
  closeSync(fd);
  assert.equal(readFileSync(path, 'utf8'), 'precious');
  rmSync(folder, { recursive: true });
});

test('options of a communicator are checked by name', () => {
  const wrong: readonly [Readonly<Record<string, unknown>>, RegExp][] = [
    [{ rank: 2 }, /^RangeError: Expected an integer from 0 to 1 for rank but received 2$/],
    [{ rank: undefined }, /^TypeError: .* for rank but received nothing$/],
    [{ worldSize: 0 }, /^RangeError: .* for worldSize/],
    [{ controlFd: -1 }, /^RangeError: .* for controlFd/],
    [{ controlFd: 1e6 }, /descriptor 1000000 for the control block/],
    [{ segmentFds: [1] }, /^RangeError: Expected an array of 2 \(one per rank\) for segmentFds/],
    [{ segmentFds: 3 }, /^TypeError: .* for segmentFds/],
    [{ slotBytes: [[8, 8], [8]] }, /^RangeError: .* for slotBytes\[1\]/],
    [{ slotBytes: [[8, -8]] }, /^RangeError: .* for slotBytes\[0\]\[1\]/],
    [{ timeout: Number.POSITIVE_INFINITY }, /^RangeError: .* for timeout/],
    [{ timeout: 0 }, /^RangeError: .* for timeout/],
    [{ generation: 0 }, /^RangeError: .* for generation/],
  ];
  for (const [changes, message] of wrong) {
    assert.throws(() => new addon.Communicator(twoRanks(changes)), message);
  }
  assert.throws(() => Reflect.construct(addon.Communicator, []), TypeError);
});

test('broadcast copies any typed array from any root, also part of a buffer', async () => {
  const ranks = await connectRanks(3, []);
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

test('nobody passes a barrier before all have come', async () => {
  const ranks = await connectRanks(3, []);
  let arrived = 0;
  await all(ranks, async (communicator, rank) => {
    await delay(rank * 40);
    arrived += 1;
    await communicator.barrier();
    assert.equal(arrived, 3);
  });
  ranks.close();
});

test('statistics count what was sent, received and waited for', async () => {
  const ranks = await connectRanks(2, []);
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

test('a missing peer is a timeout that names it', async () => {
  const alone = new addon.Communicator(twoRanks());
  await assert.rejects(alone.connect(), { code: 'COMM_TIMEOUT', message: 'waited 0.2 s for rank 1' });
  const ranks = await connectRanks(2, [], 200);
  const [first] = ranks.communicators;
  await assert.rejects(first?.barrier() as Promise<void>, { code: 'COMM_TIMEOUT' });
  ranks.close();
});

test('abort ends what is waiting within 100 ms, and what waits later', async () => {
  const ranks = await connectRanks(2, [], 60_000);
  const [first] = ranks.communicators;
  const waiting = first?.barrier() as Promise<void>;
  let abortedAt = 0;
  setTimeout(() => {
    abortedAt = performance.now();
    ranks.control.abort(1);
  }, 50);
  await assert.rejects(waiting, { code: 'COMM_ABORTED', message: 'rank 1 stopped the run' });
  const late = performance.now() - abortedAt;
  assert.ok(late < 100, `${late} ms`);
  await assert.rejects(first?.broadcast(new Uint8Array(1), 1) as Promise<void>, { code: 'COMM_ABORTED' });
  ranks.close();
});

test('the JavaScript thread runs on while a rank waits', async () => {
  const ranks = await connectRanks(2, []);
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

test('ranks that disagree on the slots do not connect', async () => {
  const options = twoRanks();
  const peer = new addon.Communicator({ ...options, rank: 1, slotBytes: [[4, 12]] });
  const own = new addon.Communicator(options);
  for (const result of await Promise.allSettled([own.connect(), peer.connect()])) {
    assert.equal(result.status === 'rejected' && result.reason.code, 'COMM_PROTOCOL');
  }
});

test('a later communicator over the same descriptors may have other slots', async () => {
  const options = twoRanks({ timeout: 5000 });
  for (const [index, bytes] of [8, 3_000_000, 0, 100].entries()) {
    const generation = bothRanks({ ...options, slotBytes: [[bytes, 2 * bytes]], generation: index + 1 });
    await Promise.all(generation.map((communicator) => communicator.connect()));
    await Promise.all(generation.map((communicator) => communicator.barrier()));
    for (const communicator of generation) communicator.close();
  }
});

test('a communicator that is still in use stops the next one', async () => {
  const options = twoRanks({ worldSize: 1, segmentFds: [addon.createSharedMemory('test')], slotBytes: [] });
  const first = new addon.Communicator(options);
  await first.connect();
  const second = new addon.Communicator({ ...options, generation: 2 });
  await assert.rejects(second.connect(), { code: 'COMM_PROTOCOL', message: /still uses .* generation 1$/ });
  first.close();
  await second.connect();
  second.close();
});

test('one call at a time; a closed communicator is unusable', async () => {
  const ranks = await connectRanks(2, []);
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

test('wrong arguments of broadcast reject', async () => {
  const ranks = await connectRanks(1, []);
  const [only] = ranks.communicators as [Ranks['communicators'][0]];
  const broadcast = (...values: unknown[]) => Reflect.apply(only.broadcast, only, values) as Promise<void>;
  await assert.rejects(broadcast([1, 2], 0), TypeError);
  await assert.rejects(broadcast(new Uint8Array(1)), TypeError);
  await assert.rejects(broadcast(new Uint8Array(1), 1), RangeError);
  ranks.close();
});

test('a session takes no other object for a communicator', async () => {
  const x = { x: [1, 1, 2, 2] };
  const border = { slot: 0, above: -1, below: -1, fresh: 1 };
  const attributes = Object.fromEntries(
    Object.entries(border).map(([name, value]) => [name, { type: 'int', value } as const]),
  );
  const model = singleNode('HaloExchange', x, { y: [1, 1, 4, 2] }, attributes);
  const impostor = new addon.ControlBlock(addon.createSharedMemory('test'), 1);
  await assert.rejects(create(model, { communicator: impostor as never }), {
    message: /^Expected a Communicator/,
  });
});

test('what a rank publishes is fetched by tick, and waits for nobody', async () => {
  const ranks = await connectRanks(2, [[8, 12]], 200);
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

test('slots refuse data of another size, and ticks that were', async () => {
  const ranks = await connectRanks(2, [[8, 12]], 200);
  const [first, second] = ranks.communicators as [Ranks['communicators'][0], Ranks['communicators'][0]];
  const size = /slot 0 of rank 0 has 8 bytes, the data 12/;
  assert.throws(() => first.publish(0, 0, new Float32Array(3)), { code: 'COMM_PROTOCOL', message: size });
  await assert.rejects(second.fetch(0, 0, 0, new Float32Array(3)), { code: 'COMM_PROTOCOL', message: size });
  assert.throws(() => first.publish(1, 0, new Float32Array(2)), /there is no slot 1/);
  first.publish(0, 2, new Float32Array(2));
  assert.throws(() => first.publish(0, 2, new Float32Array(2)), /comes after tick 2/);
  ranks.close();
});
