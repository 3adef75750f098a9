import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { CLIPTokenizer } from '../../src/tokenizers/clip.js';
import { T5Tokenizer } from '../../src/tokenizers/t5.js';
import { strip, stripEnd, stripStart } from '../../src/tokenizers/white-space.js';
import { tinyPixArt } from '../support/golden-dit.js';
import { goldenPath } from '../support/golden-files.js';

/** The longest that a prompt may be. */
const LENGTH = 100_000;
/** What grows with the square of the length took 3 s and more. */
const LIMIT_MS = 1000;

test('white space is that of Python', () => {
  const text = '\u001c\u0085 \u3000a b\ufeff\u2028\t';
  assert.equal(stripStart(text), 'a b\ufeff\u2028\t');
  assert.equal(stripEnd(text), '\u001c\u0085 \u3000a b\ufeff');
  assert.equal(strip(text), 'a b\ufeff');
  assert.equal(strip(' \t\n'), '');
});

test('the longest prompts take no more time than their length', async () => {
  const clip = await CLIPTokenizer.load(goldenPath('tiny-sdxl/tokenizer'));
  const t5 = await T5Tokenizer.load(join(tinyPixArt, 'tokenizer'));
  const between = (text: string) => `x${text.repeat(LENGTH / text.length - 2)}x`;
  for (const text of [' ', '▁', '\u00a0', 'a', '漢', '<|endoftext|>', '</s> '].map(between)) {
    for (const read of [
      strip,
      (prompt: string) => clip.encode(prompt),
      (prompt: string) => t5.encode(prompt, 120),
    ]) {
      // Of the CPU: others may be using it too.
      const started = process.cpuUsage();
      read(text);
      const took = process.cpuUsage(started).user / 1000;
      assert.ok(took < LIMIT_MS, `${JSON.stringify(text.slice(0, 20))} took ${took} ms`);
    }
  }
});

test('longer prompts are refused', async () => {
  const clip = await CLIPTokenizer.load(goldenPath('tiny-sdxl/tokenizer'));
  const t5 = await T5Tokenizer.load(join(tinyPixArt, 'tokenizer'));
  const long = 'a'.repeat(LENGTH + 1);
  const message = /^Expected at most 100000 characters for a prompt but received "a{96}/;
  assert.throws(() => clip.encode(long), { code: 'usage', message });
  assert.throws(() => t5.encode(long, 120), { code: 'usage', message });
});
