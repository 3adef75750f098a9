import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DistriError } from '../../../src/base/errors.js';
import { encodeHeader, SafetensorsFile } from '../../../src/checkpoint/formats/safetensors.js';
import { limitAllocations } from '../../support/allocations.js';
import { mutateBytes, seededBelow } from '../../support/mutate.js';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'distri-malformed-'));
});
after(() => rm(folder, { recursive: true }));

interface Case {
  readonly header: string | Uint8Array;
  readonly data?: number;
  /** What the length field says, where it lies. */
  readonly length?: bigint;
  readonly error: RegExp;
}

function fileBytes({ header, data = 0, length }: Omit<Case, 'error'>): Uint8Array {
  const text = Buffer.from(header);
  const field = Buffer.alloc(8);
  field.writeBigUInt64LE(length ?? BigInt(text.length));
  return Buffer.concat([field, text, Buffer.alloc(data)]);
}

function one(shape: unknown, offsets: unknown, dtype: unknown = 'F32'): string {
  return JSON.stringify({ w: { dtype, shape, data_offsets: offsets } });
}

function two(a: readonly number[], b: readonly number[]): string {
  const entry = (offsets: readonly number[]) => ({ dtype: 'U8', shape: [4], data_offsets: offsets });
  return JSON.stringify({ a: entry(a), b: entry(b) });
}

const cases: Readonly<Record<string, Case>> = {
  'length beyond the file': {
    header: '{}',
    length: 100n,
    error: /header ends at byte 108, but the file has 10$/,
  },
  'length beyond the format': {
    header: '{}',
    length: 100_000_001n,
    error: /header of 100000001 bytes, but the format allows 100000000$/,
  },
  'length beyond 2^53': {
    header: '{}',
    length: (1n << 64n) - 1n,
    error: /header of 18446744073709551615 bytes/,
  },
  'no header': { header: '', error: /does not start with "{"/ },
  'header is a list': { header: '[]', error: /does not start with "{"/ },
  'header starts with a space': { header: ' {}', error: /does not start with "{"/ },
  'header is not JSON': { header: '{"a"}', error: /header:1:5: expected ":"/ },
  'header goes on after the object': { header: '{}x', error: /header:1:3: expected the end/ },
  'header is not UTF-8': {
    header: Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d),
    error: /header: not UTF-8 text/,
  },
  'a Git LFS pointer': {
    header: 'https://git-lfs.github.com/spec/v1\n',
    length: Buffer.from('version ').readBigUInt64LE(),
    error: /a Git LFS pointer/,
  },
  'entry is no object': { header: '{"w": 1}', error: /tensor "w" is not described by an object/ },
  'no dtype': {
    header: '{"w": {"shape": [], "data_offsets": [0, 4]}}',
    data: 4,
    error: /unknown type undefined/,
  },
  'unknown dtype': {
    header: one([], [0, 4], 'F31'),
    data: 4,
    error: /tensor "w" has the unknown type "F31"/,
  },
  'dtype of an inherited name': {
    header: one([], [0, 4], 'toString'),
    data: 4,
    error: /unknown type "toString"/,
  },
  'shape is no list': { header: one(3, [0, 4]), data: 4, error: /tensor "w" has the shape 3/ },
  'negative dimension': { header: one([-1], [0, 4]), data: 4, error: /has the shape \[-1\]/ },
  'fractional dimension': { header: one([1.5], [0, 6]), data: 6, error: /has the shape \[1.5\]/ },
  'dimension as text': { header: one(['1'], [0, 4]), data: 4, error: /has the shape \["1"\]/ },
  'offsets missing': { header: '{"w": {"dtype": "F32", "shape": []}}', error: /data_offsets undefined/ },
  'three offsets': { header: one([1], [0, 4, 8]), data: 8, error: /data_offsets \[0,4,8\]/ },
  'negative offset': { header: one([1], [-4, 0]), data: 4, error: /data_offsets \[-4,0\]/ },
  'offsets in the wrong order': {
    header: one([1], [4, 0]),
    data: 4,
    error: /ends at byte 0 of the data, before its start at 4/,
  },
  'size and offsets differ': {
    header: one([2, 3], [0, 20]),
    data: 20,
    error: /tensor "w" of type F32 and shape \[2, 3\] needs 24 bytes, but its data_offsets span 20$/,
  },
  'size wraps around 64 bits': {
    header: one([2 ** 31, 2 ** 31, 4], [0, 0]),
    error: /needs more than 2\^53 bytes, but its data_offsets span 0$/,
  },
  'overflow hidden by a zero': {
    header: one([2 ** 52, 2 ** 52, 0], [0, 0]),
    error: /needs more than 2\^53 bytes/,
  },
  'data cut short': {
    header: one([4], [0, 16]),
    data: 15,
    error: /cut short: the tensors end at byte \d+, the file at \d+$/,
  },
  'bytes after the data': { header: one([4], [0, 16]), data: 17, error: /bytes follow the last tensor/ },
  'gap at the start': {
    header: one([1], [4, 8]),
    data: 8,
    error: /tensor "w" leaves a gap: it starts at byte 4 of the data, not 0$/,
  },
  'gap between tensors': {
    header: two([0, 4], [5, 9]),
    data: 9,
    error: /tensor "b" leaves a gap: it starts at byte 5 of the data, not 4$/,
  },
  'tensors overlap': {
    header: two([0, 4], [3, 7]),
    data: 7,
    error: /tensor "b" overlaps the one before: it starts at byte 3 of the data, not 4$/,
  },
  'tensors coincide': { header: two([0, 4], [0, 4]), data: 4, error: /tensor "b" overlaps the one before/ },
  'a name twice': {
    header: `${one([1], [0, 4]).slice(0, -1)},${one([1], [4, 8]).slice(1)}`,
    data: 8,
    error: /the key "w" occurs twice/,
  },
  'metadata is no object': { header: '{"__metadata__": "x"}', error: /__metadata__ is not an object/ },
  'metadata is not text': { header: '{"__metadata__": {"a": 1}}', error: /__metadata__ "a" is not a string/ },
  'a name with a line break': { header: '{"a\\nb": 1}', error: /tensor "a\\nb" is not described/ },
};

describe('a malformed safetensors file is refused', () => {
  for (const [name, { error, ...content }] of Object.entries(cases)) {
    it(name, async () => {
      const path = join(folder, 'case.safetensors');
      await writeFile(path, fileBytes(content));
      await assert.rejects(SafetensorsFile.open(path), (thrown) => {
        assert.ok(thrown instanceof DistriError);
        assert.equal(thrown.code, 'checkpoint');
        assert.match(thrown.message, error);
        assert.ok(thrown.message.includes(path), 'names the file');
        assert.ok(!thrown.message.includes('\n'), 'is one line');
        return true;
      });
    });
  }

  it('of more tensors than any model has, soon', async () => {
    const path = join(folder, 'many.safetensors');
    const layout = Array.from(
      { length: 250_000 },
      (_, i) => ({ name: `t.${i}`, dtype: 'F32', shape: [1] }) as const,
    );
    const started = performance.now();
    const header = encodeHeader(layout);
    await writeFile(path, header);
    await truncate(path, header.length + 4 * layout.length);
    const prepared = performance.now();
    await assert.rejects(SafetensorsFile.open(path), {
      code: 'checkpoint',
      message: /header:1:\d+: more than the 1500000 values that are expected$/,
    });
    const took = performance.now() - prepared;
    assert.ok(took < 10_000, `${took} ms, and ${prepared - started} to make it`);
  });

  it('shorter than the length field', async () => {
    const path = join(folder, 'short.safetensors');
    await writeFile(path, new Uint8Array(7));
    await assert.rejects(SafetensorsFile.open(path), /7 bytes, shorter than the 8/);
  });
});

describe('an unusual but valid safetensors file is read', () => {
  const valid: Readonly<Record<string, Omit<Case, 'error'>>> = {
    'no tensors': { header: '{}' },
    'padding after the object': { header: '{}      ' },
    'empty tensors at one place': {
      header:
        '{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"F32","shape":[1,0],"data_offsets":[0,0]}}',
    },
    'tensors listed in another order than they lie in': { header: two([4, 8], [0, 4]), data: 8 },
    'unaligned data': { header: one([1], [0, 4]).replace('"w"', '"wxy"'), data: 4 },
  };
  for (const [name, content] of Object.entries(valid)) {
    it(name, async () => {
      const path = join(folder, 'valid.safetensors');
      await writeFile(path, fileBytes(content));
      await SafetensorsFile.open(path);
    });
  }
});

const LENGTH_OF_HEADER_BYTES = 8;

describe('mutated safetensors files', () => {
  it('are read or refused with a DistriError, fast and without allocating more than the file', async () => {
    const layout = [
      { name: 'conv_in.weight', dtype: 'F32', shape: [4, 3, 3, 3] },
      { name: 'conv_in.bias', dtype: 'F16', shape: [4] },
      { name: 'ids', dtype: 'I64', shape: [1, 5] },
    ] as const;
    const header = encodeHeader(layout, { format: 'pt' });
    const original = Buffer.concat([header, Buffer.alloc(4 * 3 * 3 * 3 * 4 + 4 * 2 + 5 * 8)]);
    const below = seededBelow(20240229);
    const path = join(folder, 'fuzz.safetensors');
    let refused = 0;
    const rounds = 4000;
    for (let round = 0; round < rounds; round++) {
      let bytes = mutateBytes(original, below);
      // Mostly hit the header: it decides.
      for (let more = below(3); more > 0 && bytes.length > 0; more--) bytes = mutateBytes(bytes, below);
      await writeFile(path, bytes);
      const start = performance.now();
      try {
        await limitAllocations(bytes.length + LENGTH_OF_HEADER_BYTES, async () => {
          const file = await SafetensorsFile.open(path);
          for (const { offset, length } of file.tensors.values()) assert.ok(offset + length <= bytes.length);
        });
      } catch (error) {
        assert.ok(error instanceof DistriError, `round ${round}: ${String(error)}`);
        refused += 1;
      }
      assert.ok(performance.now() - start < 1000, `round ${round} took too long`);
    }
    assert.ok(refused > rounds / 4, `${refused} of ${rounds} refused`);
  });
});
