import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { ZipFile } from 'yazl';
import { DistriError } from '../../../src/base/errors.js';
import { TorchFile } from '../../../src/checkpoint/formats/torch/torch-file.js';
import { cases, golden } from '../../metrics/support.js';
import { limitAllocations } from '../../support/allocations.js';
import { mutateBytes, seededBelow } from '../../support/mutate.js';
import { dictionary, legacyFile, op, type PickledTensor, pickle, tensor } from './torch-pickle.js';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'distri-torch-'));
});
after(() => rm(folder, { recursive: true }));

const storages = { s: Float32Array.of(1, 2, 3, 4, 5, 6) };
const whole: PickledTensor = { storage: 's', elements: 6, shape: [2, 3], strides: [3, 1] };

function withTensor(changes: Partial<PickledTensor>): Buffer {
  return legacyFile(pickle(dictionary([['w', tensor({ ...whole, ...changes })]])), storages);
}

function withValue(...parts: Buffer[]): Buffer {
  return legacyFile(pickle(...parts), {});
}

/** A list of a list of a list …, each of which has the next one twice. */
function doublings(depth: number): Buffer[] {
  const levels = Array.from({ length: depth }, (_, i) => [
    ...[op.emptyList, op.put(i + 1)],
    ...[op.get(i), op.append, op.get(i), op.append],
  ]);
  return [op.emptyList, op.put(0), ...levels.flat()];
}

/** The names of storages at the end of a file of the older format: one that is no text. */
const nestedKeys = pickle(op.emptyList, ...doublings(60), op.append);

async function zip(fill: (zip: ZipFile) => void, forceZip64Format = false): Promise<Buffer> {
  const archive = new ZipFile();
  fill(archive);
  archive.end({ forceZip64Format, comment: '' });
  return buffer(archive.outputStream);
}

const zipPickle = pickle(dictionary([['w', tensor(whole)]]));
const elements = Buffer.from(storages.s.buffer);
const stored = { compress: false };

const refused: Readonly<Record<string, readonly [Buffer | (() => Promise<Buffer>), RegExp]>> = {
  text: [Buffer.from('<html>not found</html>'), /is no file of torch\.save/],
  empty: [Buffer.alloc(0), /is no file of torch\.save/],
  'a class that could run code': [
    withValue(op.global('os', 'system'), op.mark, op.text('true'), op.tuple, op.reduce),
    /holds "os\.system", which is refused/,
  ],
  'a whole model': [
    withValue(op.global('torchvision.models.alexnet', 'AlexNet'), op.emptyTuple, Buffer.from([0x81])),
    /holds "torchvision\.models\.alexnet\.AlexNet", which is refused: a state dict has tensors only/,
  ],
  'an operation for arbitrary objects': [
    withValue(Buffer.from('i__main__\nX\n')),
    /pickle operation 0x69, which is refused/,
  ],
  'a call of what is no function': [
    withValue(op.int(3), op.emptyTuple, op.reduce),
    /calls what is no function/,
  ],
  'a storage called as a function': [
    withValue(op.global('torch', 'FloatStorage'), op.emptyTuple, op.reduce),
    /makes a storage/,
  ],
  'a value that was never stored': [withValue(op.get(7)), /recalls value 7/],
  'an empty stack': [withValue(), /takes more values than it gave/],
  'a mark that was never set': [withValue(op.tuple), /a mark that it did not set/],
  'items of no dictionary': [
    withValue(op.int(1), op.text('a'), op.int(2), op.setItem),
    /sets items of no dictionary/,
  ],
  'a text longer than the file': [withValue(Buffer.from([0x58, 0xff, 0xff, 0xff, 0x7f])), /bytes too early/],
  'an integer of a gigabyte': [
    withValue(Buffer.from([0x8b, 0, 0, 0, 0x40])),
    /an integer of 1073741824 bytes/,
  ],
  'a tensor beyond its storage': [
    withTensor({ offset: 1 }),
    /shape \[2,3\] in a storage of 6 elements, where it does not fit/,
  ],
  'a negative offset': [
    withTensor({ offset: -1 }),
    /not described by a storage, an offset, sizes and strides/,
  ],
  'negative strides': [withTensor({ strides: [3, -1] }), /not described by a storage/],
  'more strides than sizes': [withTensor({ strides: [3, 1, 1] }), /not described by a storage/],
  'a small storage repeated into a large tensor': [
    withTensor({ shape: [1_000_000, 1_000_000], strides: [0, 0] }),
    /where it does not fit/,
  ],
  'an unknown type': [withTensor({ type: 'QUInt8Storage' }), /holds "torch\.QUInt8Storage"/],
  'other elements than data': [withTensor({ elements: 7 }), /has 6 elements in storage "s", not 7/],
  'a storage without data': [
    legacyFile(pickle(dictionary([['w', tensor(whole)]])), {}),
    /has no data of storage "s"/,
  ],
  'data of an unknown storage': [
    legacyFile(pickle(op.emptyDict), storages),
    /storage "s", which nothing refers to/,
  ],
  'a storage described in two ways': [
    legacyFile(
      pickle(
        dictionary([
          ['v', tensor(whole)],
          ['w', tensor({ ...whole, type: 'IntStorage' })],
        ]),
      ),
      storages,
    ),
    /describes storage "s" in two ways/,
  ],
  'data cut short': [withTensor({}).subarray(0, -1), /ends at byte \d+, in the middle of its data/],
  'bytes behind the data': [
    Buffer.concat([withTensor({}), Buffer.alloc(1)]),
    /goes on after its last storage/,
  ],
  'a view outside its storage': [
    withTensor({ view: Buffer.concat([op.mark, op.text('v'), op.int(4), op.int(3), op.tuple]) }),
    /a view outside storage "s"/,
  ],
  'a dictionary in itself': [
    withValue(op.emptyDict, op.put(0), op.text('a'), op.get(0), op.setItem),
    /refers to itself again and again/,
  ],
  'a list of lists of lists, each twice': [withValue(...doublings(40)), /refers to itself again and again/],
  'a storage named by lists of lists, each twice': [
    Buffer.concat([
      legacyFile(pickle(op.emptyDict), {}).subarray(0, -pickle(op.emptyList).length),
      nestedKeys,
    ]),
    /has a storage that is not named by a text/,
  ],
  'dictionaries of the same pairs': [
    withValue(
      ...[op.emptyList, op.mark, op.text('w'), op.none, op.tuple, op.append, op.put(0)],
      ...[1, 2].flatMap(() => [
        ...[op.global('collections', 'OrderedDict'), op.mark, op.get(0), op.tuple, op.reduce],
      ]),
    ),
    /makes an OrderedDict of the same pairs twice/,
  ],
  'a zip archive of something else': [
    () => zip((archive) => archive.addBuffer(Buffer.from('x'), 'mimetype')),
    /zip archive without data\.pkl/,
  ],
  'a compressed storage': [
    () =>
      zip((archive) => {
        archive.addBuffer(zipPickle, 'a/data.pkl', stored);
        archive.addBuffer(elements, 'a/data/s');
      }),
    /has "a\/data\/s" compressed/,
  ],
  'a zip archive without a storage': [
    () => zip((archive) => archive.addBuffer(zipPickle, 'a/data.pkl', stored)),
    /has no data of storage "s"/,
  ],
  'a storage of too few bytes': [
    () =>
      zip((archive) => {
        archive.addBuffer(zipPickle, 'a/data.pkl', stored);
        archive.addBuffer(elements.subarray(4), 'a/data/s', stored);
      }),
    /has 20 bytes in storage "s", not 24/,
  ],
  'a big-endian archive': [
    () =>
      zip((archive) => {
        archive.addBuffer(zipPickle, 'a/data.pkl', stored);
        archive.addBuffer(Buffer.from('big'), 'a/byteorder', stored);
      }),
    /big-endian/,
  ],
};

describe('a malformed file of torch is refused', () => {
  for (const [name, [content, error]] of Object.entries(refused)) {
    it(name, async () => {
      const path = join(folder, 'case.pth');
      await writeFile(path, typeof content === 'function' ? await content() : content);
      await assert.rejects(TorchFile.open(path), (thrown) => {
        assert.ok(thrown instanceof DistriError);
        assert.equal(thrown.code, 'checkpoint');
        assert.match(thrown.message, error);
        assert.ok(thrown.message.startsWith(`${path}: `) && !thrown.message.includes('\n'));
        return true;
      });
    });
  }
});

describe('an unusual but valid file of torch is read', () => {
  const entries = (archive: ZipFile) => {
    archive.addBuffer(zipPickle, 'a/data.pkl', stored);
    archive.addBuffer(elements, 'a/data/s', stored);
  };
  const files: Readonly<Record<string, () => Promise<Buffer>>> = {
    zip64: () => zip(entries, true),
    'data descriptors': () =>
      zip((archive) => {
        archive.addReadStream(Readable.from([zipPickle]), 'a/data.pkl', stored);
        archive.addReadStream(Readable.from([elements]), 'a/data/s', stored);
      }),
    'compressed code beside the data': () =>
      zip((archive) => {
        entries(archive);
        archive.addBuffer(Buffer.alloc(1000), 'a/code/model.py');
      }),
    'the format before 1.6': async () => withTensor({}),
  };
  for (const [name, content] of Object.entries(files)) {
    it(name, async () => {
      const path = join(folder, 'valid.pth');
      await writeFile(path, await content());
      const { data, shape } = await (await TorchFile.open(path)).read('w');
      assert.deepEqual([data, shape], [storages.s, [2, 3]]);
    });
  }

  it('a view of a storage, as before torch 0.4', async () => {
    const path = join(folder, 'view.pth');
    const view = Buffer.concat([op.mark, op.text('v'), op.int(2), op.int(4), op.tuple]);
    await writeFile(path, withTensor({ view, shape: [2, 2], strides: [1, 2] }));
    const { data } = await (await TorchFile.open(path)).read('w');
    assert.deepEqual(data, Float32Array.of(3, 5, 4, 6));
  });
});

/** Central directory, pickle and elements are each read at most once, and integers become eight bytes. */
const MOST_COPIES = 8;
/** An entry of a zip archive can claim three fields of 64 KiB, whatever the size of the file. */
const LARGEST_ENTRY = 3 * 2 ** 16 + 4096;

describe('mutated files of torch', () => {
  for (const name of Object.keys(cases.pth)) {
    it(`${name} is read or refused with a DistriError, fast and with little memory`, async () => {
      const original = await readFile(golden('pth', name));
      const below = seededBelow(20150512);
      const path = join(folder, 'fuzz.pth');
      let refusals = 0;
      const rounds = 300;
      for (let round = 0; round < rounds; round++) {
        let bytes = mutateBytes(original, below);
        for (let more = below(3); more > 0 && bytes.length > 0; more--) bytes = mutateBytes(bytes, below);
        await writeFile(path, bytes);
        const start = performance.now();
        try {
          const limit = MOST_COPIES * bytes.length + LARGEST_ENTRY;
          const { value: file } = await opened(path, limit);
          for (const tensorName of file.tensors.keys()) {
            await limitAllocations(limit, async () => void (await file.read(tensorName)));
          }
        } catch (error) {
          assert.ok(
            error instanceof DistriError,
            `round ${round}: ${error instanceof Error ? error.stack : error}`,
          );
          refusals += 1;
        }
        assert.ok(performance.now() - start < 2000, `round ${round} took too long`);
      }
      assert.ok(refusals > rounds / 10, `${refusals} of ${rounds} refused`);
    });
  }
});

async function opened(path: string, limit: number): Promise<{ readonly value: TorchFile }> {
  const result: { value?: TorchFile } = {};
  await limitAllocations(limit, async () => {
    result.value = await TorchFile.open(path);
  });
  return result as { readonly value: TorchFile };
}
