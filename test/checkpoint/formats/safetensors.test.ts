import assert from 'node:assert/strict';
import { mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SafetensorsFile, writeSafetensors } from '../../../src/checkpoint/formats/safetensors.js';
import { float32, int64, uint8 } from '../../../src/tensor/tensor.js';

let folder: string;
before(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'distri-safetensors-')));
});
after(() => rm(folder, { recursive: true }));

/** The bytes of a file with this header and data. */
function file(header: string | Uint8Array, data = new Uint8Array(0), length?: bigint): Uint8Array {
  const text = Buffer.from(header);
  const field = Buffer.alloc(8);
  field.writeBigUInt64LE(length ?? BigInt(text.length));
  return Buffer.concat([field, text, data]);
}

async function open(bytes: Uint8Array): Promise<SafetensorsFile> {
  const path = join(folder, 'case.safetensors');
  await writeFile(path, bytes);
  return SafetensorsFile.open(path);
}

const entry = (shape: unknown, offsets: unknown, dtype: unknown = 'F32') =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });

describe('a safetensors file', () => {
  it('is read as it was written', async () => {
    const path = join(folder, 'round-trip.safetensors');
    const tensors = {
      bytes: uint8([3], Uint8Array.of(1, 2, 255)),
      weight: float32([2, 3], Float32Array.of(0.5, -1, 2, Number.NaN, Number.NEGATIVE_INFINITY, 1e-45)),
      scalar: float32([], Float32Array.of(7)),
      none: float32([0, 4]),
      ids: int64([2], BigInt64Array.of(-1n, 1n << 62n)),
    };
    await writeSafetensors(path, tensors, { format: 'pt', 'a "key"': 'ünïcode' });
    const read = await SafetensorsFile.open(path);
    assert.deepEqual(read.metadata, { format: 'pt', 'a "key"': 'ünïcode' });
    assert.deepEqual([...read.tensors.keys()].sort(), Object.keys(tensors).sort());
    for (const [name, tensor] of Object.entries(tensors)) assert.deepEqual(await read.read(name), tensor);
  });

  it('is written with an aligned header, wide types first', async () => {
    const path = join(folder, 'aligned.safetensors');
    await writeSafetensors(path, { a: uint8([1]), b: float32([1]), c: int64([1]), d: float32([1]) });
    const { tensors, size } = await SafetensorsFile.open(path);
    const byOffset = [...tensors.values()].sort((a, b) => a.offset - b.offset);
    assert.deepEqual(
      byOffset.map(({ name }) => name),
      ['c', 'b', 'd', 'a'],
    );
    assert.equal((byOffset[0]?.offset ?? 1) % 8, 0);
    assert.equal(size, (byOffset[0]?.offset ?? 0) + 17);
  });

  it('gives absolute offsets in the file that a link leads to', async () => {
    const target = join(folder, 'target.safetensors');
    const link = join(folder, 'link.safetensors');
    await writeSafetensors(target, { x: float32([2], Float32Array.of(1, 2)) });
    await symlink(target, link);
    const found = (await SafetensorsFile.open(link)).entry('x');
    assert.equal(found.file, target);
    const bytes = await readFile(target);
    assert.equal(bytes.readFloatLE(found.offset + 4), 2);
    assert.equal(found.length, 8);
  });

  it('reads halves and bfloat16 as float32', async () => {
    const data = new Uint8Array(Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x3f80, 0xc000).buffer);
    const header = `{"h":${entry([3], [0, 6], 'F16')},"b":${entry([2], [6, 10], 'BF16')}}`;
    const read = await open(file(header, data));
    assert.deepEqual(await read.read('h'), float32([3], Float32Array.of(1, -2, 2 ** -24)));
    assert.deepEqual(await read.read('b'), float32([2], Float32Array.of(1, -2)));
  });

  it('keeps a tensor called __proto__ apart from the prototype', async () => {
    const read = await open(file(`{"__proto__":${entry([1], [0, 1], 'U8')}}`, new Uint8Array(1)));
    assert.deepEqual([...read.tensors.keys()], ['__proto__']);
  });
});
