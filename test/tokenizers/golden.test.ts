import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { CLIPTokenizer } from '../../src/tokenizers/clip.js';
import { goldenPath } from '../support/golden-files.js';

const { rows } = JSON.parse(await readFile(goldenPath('tokenizer.json'), 'utf8')) as {
  rows: { text: string; ids: Record<string, number[]> }[];
};

for (const name of Object.keys(rows[0]?.ids ?? {})) {
  test(`${name} gives the ids of transformers`, async () => {
    const tokenizer = await CLIPTokenizer.load(goldenPath(name));
    for (const { text, ids } of rows) {
      assert.deepEqual(tokenizer.encode(text).ids, ids[name], JSON.stringify(text));
    }
  });
}
