import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { list, tableFromArrays, tableToIPC, utf8 } from '@uwdata/flechette';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { DistriError } from '../../src/base/errors.js';
import { openIsolatedTables } from '../../src/datasets/isolated-tables.js';
import { childrenOf, waitForEnd } from '../ranks/fixtures/processes.js';
import { mutateBytes, seededBelow } from '../support/mutate.js';

/** Enough for the whole files here, also on a busy machine. */
const limits = { bytes: 5e8, milliseconds: 3000 };
/** How many mutations of each format. */
const TIMES = 12;

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'distri-tables-'));
});
after(() => rm(folder, { recursive: true }));

const captions = [['zero a', 'zero b'], ['one a'], ['two a', 'two b', 'two c']];

function arrowFile(): Buffer {
  const table = tableFromArrays({ captions }, { types: { captions: list(utf8()) } });
  return Buffer.from(tableToIPC(table, { format: 'stream' }) as Uint8Array);
}

function parquetFile(): Buffer {
  const columnData = [
    { name: 'caption', data: ['one', 'two', 'three'], type: 'STRING' as const },
    { name: 'image', data: [1, 2, 3].map((byte) => Uint8Array.of(byte)), type: 'BYTE_ARRAY' as const },
  ];
  return Buffer.from(parquetWriteBuffer({ columnData }));
}

async function open(format: 'arrow' | 'parquet', bytes: Uint8Array) {
  const path = join(folder, `table.${format}`);
  await writeFile(path, bytes);
  return openIsolatedTables({ format, paths: [path], name: path }, limits);
}

test('a list that claims two billion captions is refused before memory is full', async () => {
  const file = arrowFile();
  assert.equal((await open('arrow', file)).images.length, captions.length);
  const offsets = Buffer.from(Int32Array.of(0, 2, 3, 6).buffer);
  const at = file.indexOf(offsets);
  assert.ok(at > 0, 'the offsets of the lists are there');
  file.writeInt32LE(0x7fffffff, at + 12);
  const before = process.resourceUsage().maxRSS;
  await assert.rejects(open('arrow', file), {
    code: 'dataset',
    message: /table\.arrow: damaged: reading its tables took more than (?:3\.00 s|500 MB of memory)$/,
  });
  assert.ok((process.resourceUsage().maxRSS - before) * 1024 < 100e6);
});

for (const [format, file] of [
  ['arrow', arrowFile()],
  ['parquet', parquetFile()],
] as const) {
  test(`damaged files in the format of ${format} are read or refused, whatever is wrong`, async () => {
    const below = seededBelow(20240301);
    let refused = 0;
    for (let round = 0; round < TIMES; round++) {
      let bytes: Uint8Array = file;
      for (let changes = 1 + below(3); changes > 0; changes--) bytes = mutateBytes(bytes, below);
      try {
        const dataset = await open(format, bytes);
        const reader = await dataset.openImages();
        await reader.read(0).finally(() => reader.close());
      } catch (error) {
        assert.ok(error instanceof DistriError, String(error));
        assert.equal(error.code, 'dataset', error.message);
        refused += 1;
      }
    }
    assert.ok(refused > 0);
  });
}

test('a process reads the tables as long as somebody asks, and no longer', async () => {
  const before = childrenOf(process.pid);
  const dataset = await open('parquet', parquetFile());
  await waitForEnd(added(before), 5000);
  const reader = await dataset.openImages();
  const [running, ...others] = added(before);
  assert.ok(running !== undefined && others.length === 0);
  assert.deepEqual([...(await reader.read(2)).bytes], [3]);
  await reader.close();
  await waitForEnd([running], 5000);
  await assert.rejects(reader.read(1), /no process reads the tables/);
});

test('a process that is killed while it reads is an error, not a wait', async () => {
  const reader = await (await open('parquet', parquetFile())).openImages();
  const answer = reader.read(0);
  for (const pid of childrenOf(process.pid)) process.kill(pid, 'SIGKILL');
  await answer.catch((error) => assert.equal(error.code, 'dataset'));
  await assert.rejects(reader.read(1));
});

function added(before: readonly number[]): number[] {
  return childrenOf(process.pid).filter((pid) => !before.includes(pid));
}
