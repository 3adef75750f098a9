import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdtemp,
  open,
  readdir,
  readFile,
  realpath,
  rm,
  statfs,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { convertFloats, nonFiniteTensors } from '../../src/checkpoint/conversion.js';
import { encodeHeader, SafetensorsFile, writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { float32 } from '../../src/tensor/tensor.js';
import { bytesOf, writeStored } from '../support/stored-file.js';

let folder: string;
let source: string;
let conversionDir: string;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'distri-conversion-')));
  source = join(folder, 'model.fp16.safetensors');
  conversionDir = join(folder, 'cache', 'distri');
});
afterEach(() => rm(folder, { recursive: true }));

const every = Uint16Array.from({ length: 0x10000 }, (_, bits) => bits);
const tensors = [
  { name: 'ids', dtype: 'I64', shape: [2], bytes: bytesOf(BigInt64Array.of(3n, -4n)) },
  { name: 'doubles', dtype: 'F64', shape: [2], bytes: bytesOf(Float64Array.of(0.1, -2)) },
  { name: 'floats', dtype: 'F32', shape: [1, 2], bytes: bytesOf(Float32Array.of(0.25, 0.5)) },
  { name: 'none', dtype: 'F16', shape: [0, 3], bytes: new Uint8Array(0) },
  { name: 'halves', dtype: 'F16', shape: [256, 256], bytes: bytesOf(every) },
  { name: 'brains', dtype: 'BF16', shape: [0x10000], bytes: bytesOf(every) },
] as const;

async function convert(path = source): Promise<SafetensorsFile> {
  const [converted] = await convertFloats([await SafetensorsFile.open(path)], { conversionDir });
  assert.ok(converted !== undefined);
  return converted;
}

describe('conversion to float32', () => {
  it('gives every tensor the values of the source, bit for bit', async () => {
    await writeStored(source, tensors, { format: 'pt' });
    const original = await SafetensorsFile.open(source);
    const converted = await convert();
    assert.equal(converted.metadata.format, 'pt');
    for (const { name, dtype, shape } of tensors) {
      const entry = converted.entry(name);
      assert.deepEqual([entry.dtype, entry.shape], [dtype === 'I64' ? 'I64' : 'F32', shape]);
      assert.deepEqual(bytesOf((await converted.read(name)).data), bytesOf((await original.read(name)).data));
    }
  });

  it('goes on over the border of a chunk', async () => {
    const count = 2 * 1024 * 1024 + 3;
    const halves = Uint16Array.from({ length: count }, (_, i) => i % 0x7c00);
    await writeStored(source, [{ name: 'w', dtype: 'F16', shape: [count], bytes: bytesOf(halves) }]);
    const { data } = await (await convert()).read('w');
    const expected = await (await SafetensorsFile.open(source)).read('w');
    assert.deepEqual(bytesOf(data), bytesOf(expected.data));
  });

  it('remembers which tensors are not finite, also for who finds them converted', async () => {
    const tensor = (name: string, bits: number) =>
      ({ name, dtype: 'F16', shape: [3], bytes: bytesOf(Uint16Array.of(0x3c00, bits, 0x7bff)) }) as const;
    const stored = [tensor('a', 0xfbff), tensor('nan', 0x7e01), tensor('c', 1), tensor('infinite', 0xfc00)];
    await writeStored(source, stored);
    for (const file of [await convert(), await convert()]) {
      assert.deepEqual(nonFiniteTensors(file), ['nan', 'infinite']);
    }
    await writeStored(
      source,
      Array.from({ length: 300 }, (_, i) => tensor(`w${i}`, 0x7c00)),
    );
    const many = nonFiniteTensors(await convert());
    assert.deepEqual(
      many.slice(0, 50),
      Array.from({ length: 50 }, (_, i) => `w${i}`),
    );
    await writeStored(source, [tensor('fine', 0)]);
    assert.deepEqual(nonFiniteTensors(await convert()), []);
  });

  it('leaves float32 files where they are', async () => {
    await writeSafetensors(source, { w: float32([2]) });
    assert.equal((await convert()).path, source);
    await assert.rejects(readdir(conversionDir), { code: 'ENOENT' });
  });

  it('reports the bytes done of all files together', async () => {
    const other = join(folder, 'other.safetensors');
    await writeStored(source, tensors);
    await writeStored(other, tensors);
    const total = 2 * tensors.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const reports: number[] = [];
    const files = await Promise.all([source, other].map((path) => SafetensorsFile.open(path)));
    await convertFloats(files, {
      conversionDir,
      onProgress: (done, of) => {
        assert.equal(of, total);
        reports.push(done);
      },
    });
    assert.deepEqual(
      reports,
      reports.toSorted((a, b) => a - b),
    );
    assert.equal(reports.at(-1), total);
  });
});

describe('the conversion cache', () => {
  beforeEach(() => writeStored(source, tensors));

  const cachedFile = async () => join(conversionDir, (await readdir(conversionDir))[0] ?? '');

  it('is used the second time', async () => {
    const first = await convert();
    const before = await readFile(first.path);
    await utimes(first.path, 1, 1);
    const second = await convert();
    assert.deepEqual(await readdir(conversionDir), [first.path.slice(conversionDir.length + 1)]);
    assert.deepEqual(await readFile(second.path), before);
    const handle = await open(second.path);
    assert.equal((await handle.stat()).mtimeMs, 1000, 'was not written again');
    await handle.close();
  });

  it('is made anew when the source changed', async () => {
    await convert();
    await writeStored(source, [{ name: 'w', dtype: 'F16', shape: [1], bytes: Uint8Array.of(0, 0x3c) }]);
    const again = await convert();
    assert.deepEqual(await again.read('w'), float32([1], Float32Array.of(1)));
    assert.equal((await readdir(conversionDir)).length, 1, 'the old conversion is replaced');
  });

  it('is made anew when the source has the same header and size but another time', async () => {
    await convert();
    const changed = tensors.map((tensor) => ({ ...tensor, bytes: tensor.bytes.map((byte) => byte ^ 1) }));
    await writeStored(source, changed);
    const { data } = await (await convert()).read('ids');
    assert.deepEqual(bytesOf(data), changed[0]?.bytes);
  });

  it('is made anew when it was cut short, emptied or replaced', async () => {
    const { path, size } = await convert();
    const whole = await readFile(path);
    const damages = [
      () => truncate(path, size - 1),
      () => truncate(path, 0),
      () => writeFile(path, 'something else'),
      () => writeSafetensors(path, { halves: float32([256, 256]) }),
    ];
    for (const damage of damages) {
      await damage();
      await convert();
      assert.deepEqual(await readFile(path), whole);
    }
  });

  it('keeps sources of the same name in different folders apart', async () => {
    const other = join(folder, 'elsewhere.safetensors');
    await writeStored(other, [{ name: 'w', dtype: 'F16', shape: [1], bytes: Uint8Array.of(0, 0x3c) }]);
    assert.notEqual((await convert()).path, (await convert(other)).path);
    assert.equal((await readdir(conversionDir)).length, 2);
  });

  it('is whole after two processes converted at once', async () => {
    const script = fileURLToPath(new URL('fixtures/convert.js', import.meta.url));
    const children = [1, 2].map(() => fork(script, [source, conversionDir]));
    await Promise.all(children.map((child) => once(child, 'message')));
    for (const child of children) child.send('go');
    for (const [code] of await Promise.all(children.map((child) => once(child, 'exit'))))
      assert.equal(code, 0);
    const path = await cachedFile();
    assert.equal((await readdir(conversionDir)).length, 1);
    const made = await readFile(path);
    await rm(path);
    await convert();
    assert.deepEqual(await readFile(path), made);
  });

  it('loses what killed processes left', async () => {
    const { path } = await convert();
    const name = path.slice(conversionDir.length + 1);
    const abandoned = join(conversionDir, `.${name}.1-00000000.tmp`);
    const active = join(conversionDir, `.${name}.2-00000000.tmp`);
    await writeFile(abandoned, '');
    await utimes(abandoned, 1, 1);
    await writeFile(active, '');
    await rm(path);
    await convert();
    assert.deepEqual(
      (await readdir(conversionDir)).sort(),
      [active.slice(conversionDir.length + 1), name].sort(),
    );
  });

  it('is not begun where the disk has too little room', async (test) => {
    const huge = 4 * 1024 ** 4;
    const { bavail, bsize } = await statfs(folder);
    if (bavail * bsize > 2 * huge) return test.skip('the disk is too large for this');
    const header = encodeHeader([{ name: 'w', dtype: 'F16', shape: [huge / 2] }]);
    await writeFile(source, header);
    // Sparse: it has the size, but takes no room.
    await truncate(source, header.length + huge);
    await assert.rejects(convert(), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'output');
      assert.match(error.message, /needs 8\.80 TB, but [\d.]+ GB are free; make room or set DISTRI_CACHE/);
      return true;
    });
    assert.deepEqual(await readdir(conversionDir), []);
  });

  it('says which folder cannot be made', async () => {
    await writeFile(join(folder, 'cache'), 'a file');
    await assert.rejects(convert(), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'output');
      assert.match(error.message, /cache\/distri/);
      return true;
    });
  });
});
