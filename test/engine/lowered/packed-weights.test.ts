import assert from 'node:assert/strict';
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  statfs,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { encodeHeader, writeSafetensors } from '../../../src/checkpoint/formats/safetensors.js';
import { loadAddon } from '../../../src/engine/load.js';
import { openPacked } from '../../../src/engine/lowered/packed-weights.js';
import { type ProductWeight, readUnpacked } from '../../../src/engine/lowered/weight-bytes.js';
import { TorchGenerator } from '../../../src/tensor/random-torch.js';
import { float32 } from '../../../src/tensor/tensor.js';
import { packableWeights } from '../../support/packable-weights.js';
import type { PackReport } from './fixtures/pack.js';

const fixture = fileURLToPath(new URL('fixtures/pack.js', import.meta.url));

let top: string;
let source: string;
let folder: string;
beforeEach(async () => {
  top = await realpath(await mkdtemp(join(tmpdir(), 'distri-packed-')));
  source = join(top, 'model.safetensors');
  folder = join(top, 'cache', 'packed');
  await writeWeights(5n);
});
afterEach(() => rm(top, { recursive: true }));

async function writeWeights(seed: bigint): Promise<void> {
  const generator = new TorchGenerator(seed);
  await writeSafetensors(source, { a: generator.randn([70, 45]), b: generator.randn([200, 300]) });
}

interface Packed {
  /** Path of the file in the cache, and what is in it. */
  readonly path: string;
  readonly bytes: Buffer;
  readonly notes: readonly string[];
}

/** Packs in this process; what is in the file is read as a program finds it. */
async function pack(into = folder): Promise<Packed> {
  const notes: string[] = [];
  const weights = await packableWeights(source);
  const packed = await openPacked(weights, {
    threads: 2,
    folder: into,
    noteOnce: (_, line) => notes.push(line),
  });
  const bytes = packed ? await readFile(packed.file) : Buffer.alloc(0);
  await packed?.close();
  const [name = ''] = await packedNames(into).catch(() => []);
  return { path: join(into, name), bytes, notes };
}

/** All but what is locked. */
async function packedNames(from = folder): Promise<string[]> {
  return (await readdir(from)).filter((name) => name !== '.lock');
}

/** As soon as all processes are ready, they pack at once. */
async function packInProcesses(environments: readonly NodeJS.ProcessEnv[]): Promise<readonly PackReport[]> {
  const children = environments.map((env) =>
    fork(fixture, [source, folder], { env: { ...process.env, ...env } }),
  );
  await Promise.all(children.map((child) => once(child, 'message')));
  const reports = children.map(async (child) => (await once(child, 'message'))[0] as PackReport);
  for (const child of children) child.send('go');
  return Promise.all(reports);
}

describe('packed weights in the cache', () => {
  it('are those that a program packs for itself', async () => {
    const weights = await packableWeights(source);
    const packed = await openPacked(weights, { threads: 1, folder });
    assert.ok(packed);
    const bytes = await readFile(packed.file);
    for (const [storage, weight] of weights) {
      const unpacked = await readUnpacked(weight as ProductWeight);
      const wanted = new Uint8Array(loadAddon().packedBytes(unpacked.packed));
      await loadAddon().packWeights([unpacked], wanted, 1);
      const offset = packed.offsets.get(storage) as number;
      assert.equal(offset % 64, 0);
      assert.deepEqual(bytes.subarray(offset, offset + wanted.length), Buffer.from(wanted));
    }
    await packed.close();
  });

  it('are packed once', async () => {
    const first = await pack();
    const { ino } = await stat(first.path);
    const second = await pack();
    assert.deepEqual(second, first);
    assert.equal((await stat(second.path)).ino, ino, 'was not written again');
    assert.equal((await packedNames()).length, 1);
  });

  it('are made by one of several processes, for all', async () => {
    // So many that nobody is done when the others begin.
    await writeSafetensors(source, { w: float32([4000, 4000]) });
    const reports = await packInProcesses([{}, {}, {}]);
    const [first] = reports;
    assert.ok(first?.inode);
    assert.deepEqual(
      reports.map(({ inode }) => inode),
      reports.map(() => first.inode),
    );
    assert.equal((await packedNames()).length, 1);
  });

  it('are apart for instructions that pack otherwise', async () => {
    const reports = await packInProcesses([{ DISTRI_SIMD: 'narrow' }, { DISTRI_SIMD: 'v3' }]);
    const { lanes } = loadAddon().packingLayout('bfloat16');
    if (lanes < 16) assert.equal(reports[0]?.path, reports[1]?.path);
    else assert.notEqual(reports[0]?.path, reports[1]?.path);
  });

  it('are apart for the types that are multiplied', async () => {
    await pack();
    const weights = await packableWeights(source, 'float32');
    await (await openPacked(weights, { threads: 1, folder }))?.close();
    assert.equal((await packedNames()).length, 2);
  });

  it('are made anew when the checkpoint changed, in the place of the old ones', async () => {
    const before = await pack();
    await writeWeights(6n);
    const after = await pack();
    assert.equal(after.path, before.path);
    assert.notDeepEqual(after.bytes, before.bytes);
    assert.equal((await packedNames()).length, 1);
  });

  it('are made anew when they were damaged, cut short, emptied or replaced', async () => {
    const { path, bytes } = await pack();
    const flipped = Buffer.from(bytes);
    const middle = Math.floor(bytes.length / 2);
    flipped[middle] = (flipped[middle] as number) ^ 1;
    const otherHeader = Buffer.from(
      bytes.toString('latin1').replace('"checksum":"', '"chucksum":"'),
      'latin1',
    );
    const zeros = Buffer.concat([bytes.subarray(0, middle), Buffer.alloc(bytes.length - middle)]);
    for (const damage of [
      () => writeFile(path, flipped),
      () => writeFile(path, zeros),
      () => writeFile(path, otherHeader),
      () => truncate(path, bytes.length - 64),
      () => truncate(path, 0),
      () => writeFile(path, 'something else'),
      () => rm(path),
    ]) {
      await damage();
      const { bytes: again, notes } = await pack();
      assert.deepEqual(again, bytes);
      assert.deepEqual(notes, []);
    }
  });

  it('stay for who has them open when they are removed', async () => {
    const packed = await openPacked(await packableWeights(source), { threads: 1, folder });
    assert.ok(packed);
    const before = await readFile(packed.file);
    await rm(folder, { recursive: true });
    assert.deepEqual(await readFile(packed.file), before);
    await packed.close();
  });

  it('lose what killed processes left', async () => {
    const { path } = await pack();
    const [name = ''] = await packedNames();
    const abandoned = join(folder, `.${name}.1-00000000.tmp`);
    await writeFile(abandoned, '');
    await utimes(abandoned, 1, 1);
    await rm(path);
    await pack();
    assert.deepEqual(await packedNames(), [name]);
  });
});

describe('where packed weights can not be kept', () => {
  it('a rank packs for itself and says why: no folder', async () => {
    await writeFile(join(top, 'cache'), 'a file');
    const { bytes, notes } = await pack();
    assert.equal(bytes.length, 0);
    assert.match(notes[0] ?? '', /^packed weights are not kept, every rank packs its own: .*cache\/packed: /);
    assert.equal(notes.length, 1);
  });

  it('a rank packs for itself and says why: no room', async (test) => {
    const huge = 4 * 1024 ** 4;
    const { bavail, bsize } = await statfs(top);
    if (bavail * bsize > huge) return test.skip('the disk is too large for this');
    const header = encodeHeader([{ name: 'w', dtype: 'F32', shape: [huge / 4096, 1024] }]);
    await writeFile(source, header);
    // Sparse: it has the size, but takes no room.
    await truncate(source, header.length + huge);
    const { bytes, notes } = await pack();
    assert.equal(bytes.length, 0);
    assert.match(notes[0] ?? '', /needs [\d.]+ TB, but [\d.]+ GB are free; make room or set DISTRI_CACHE/);
    assert.deepEqual(await packedNames(), []);
  });

  it('a rank packs for itself and says why: a write that fails', async () => {
    // In units of 512 or 1024 bytes: less than the weights take.
    const command = ['-c', 'ulimit -f 32; exec "$@"', 'sh', process.execPath, fixture, source, folder];
    const child = spawn('sh', command, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await once(child, 'message');
    child.send('go');
    const [report] = (await once(child, 'message')) as [PackReport];
    assert.equal(report.path, undefined);
    assert.match(report.notes[0] ?? '', /^packed weights are not kept, .*file too large/i);
    assert.deepEqual(await packedNames(), [], 'nothing unfinished is left');
  });

  it('those that are there are used all the same', async () => {
    const before = await pack();
    // Nobody can lock a folder: as on a disk that can only be read, nothing can be made here.
    await rm(join(folder, '.lock'));
    await mkdir(join(folder, '.lock'));
    assert.deepEqual(await pack(), before);
    await rm(before.path);
    const { notes } = await pack();
    assert.match(notes[0] ?? '', /^packed weights are not kept, /);
  });
});
