import assert from 'node:assert/strict';
import { test } from 'node:test';
import { preprocessCaption } from '../../src/families/caption.js';
import { readDitJson } from '../support/golden-dit.js';

test('captions are what diffusers makes of prompts without beautifulsoup4 and ftfy', async () => {
  const { rows } = (await readDitJson('caption_cleaning')) as { rows: { text: string; plain: string }[] };
  assert.ok(rows.length > 50);
  for (const { text, plain } of rows) assert.equal(preprocessCaption(text), plain);
});
