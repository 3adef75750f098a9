import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readSentencePieceModel } from '../../src/tokenizers/sentencepiece-model.js';
import { T5Tokenizer } from '../../src/tokenizers/t5.js';
import { UnigramModel } from '../../src/tokenizers/unigram.js';
import { strip } from '../../src/tokenizers/white-space.js';
import { readDitJson, tinyFlux, tinyPixArt } from '../support/golden-dit.js';

interface Row {
  readonly text: string;
  readonly pixart: readonly number[];
  readonly pixart_lower: readonly number[];
  readonly flux: readonly number[];
  readonly spm_normalized: string;
}

const directory = join(tinyPixArt, 'tokenizer');
const { rows } = (await readDitJson('t5_tokenizer')) as { rows: readonly Row[] };

describe("T5's tokenizer", () => {
  it('gives the ids of transformers', async () => {
    const tokenizer = await T5Tokenizer.load(directory);
    for (const { text, pixart, pixart_lower: lower } of rows) {
      for (const [written, ids] of [
        [text, pixart],
        [strip(text.toLowerCase()), lower],
      ] as const) {
        const encoded = tokenizer.encode(written, 120);
        const length = encoded.mask.reduce((sum, bit) => sum + bit, 0);
        assert.deepEqual(encoded.ids.slice(0, length), ids, JSON.stringify(written));
        assert.equal(encoded.ids.length, 120);
        assert.ok(encoded.ids.slice(length).every((id) => id === 0));
        assert.ok(encoded.mask.slice(0, length).every((bit) => bit === 1));
      }
    }
  });

  it('gives the ids of the fast tokenizer, which ends every text', async () => {
    const tokenizer = await T5Tokenizer.load(join(tinyFlux, 'tokenizer_2'), { ending: 'always' });
    for (const { text, flux } of rows) {
      const { ids, mask } = tokenizer.encode(text, 64);
      const length = mask.reduce((sum, bit) => sum + bit, 0);
      assert.deepEqual(ids.slice(0, length), flux, JSON.stringify(text));
    }
  });

  it('normalises as sentencepiece', async () => {
    const file = join(directory, 'spiece.model');
    const model = new UnigramModel(await readSentencePieceModel(file), file);
    for (const { text, spm_normalized } of rows) {
      assert.equal(model.normalize(text), spm_normalized, JSON.stringify(text));
    }
  });

  it('keeps the end of a text that is too long, and says how much did not fit', async () => {
    const tokenizer = await T5Tokenizer.load(directory);
    const { ids, mask, cut } = tokenizer.encode('a '.repeat(500), 120);
    assert.deepEqual([ids.length, ids.at(-1), mask.at(-1), cut], [120, 1, 1, 500 - 119]);
  });

  it('works without tokenizer_config.json', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'distri-t5-'));
    try {
      await cp(join(directory, 'spiece.model'), join(folder, 'spiece.model'));
      const tokenizer = await T5Tokenizer.load(folder);
      assert.equal(tokenizer.size, 900);
      for (const { text, pixart } of rows) {
        assert.deepEqual(tokenizer.encode(text, 120).ids.slice(0, pixart.length), pixart);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('refuses a file that is no sentencepiece model', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'distri-t5-'));
    try {
      await writeFile(join(folder, 'spiece.model'), 'no model');
      await assert.rejects(T5Tokenizer.load(folder), /spiece\.model: not a sentencepiece model/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
