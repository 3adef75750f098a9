import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DistriError } from '../../src/base/errors.js';
import { parseJson, parseJsonUniqueKeys, readJson, readJsonObject } from '../../src/base/json.js';

describe('JSON as Python writes it', () => {
  it('has bare NaN and infinities, but not inside strings', () => {
    const text =
      '{"lambda_min_clipped": -Infinity, "a": [NaN, Infinity], "text": "NaN, -Infinity and \\"Infinity\\""}';
    assert.deepEqual(parseJson(text, 'x'), {
      lambda_min_clipped: Number.NEGATIVE_INFINITY,
      a: [Number.NaN, Number.POSITIVE_INFINITY],
      text: 'NaN, -Infinity and "Infinity"',
    });
  });

  for (const text of [
    '{}',
    ' [ ] ',
    '"a\\u00e9\\n\\ud83d\\ude00\\\\"',
    '[1, -0, 1.5e-3, 1E+2, 0.00085, 123456789012345680000]',
    '{"a": {"b": [true, false, null]}, "": "", "ünï": "çödé"}',
    '[[[[]]], {"x": {}}]\r\n\t',
  ]) {
    it(`is otherwise JSON: ${text.trim()}`, () => assert.deepEqual(parseJson(text, 'x'), JSON.parse(text)));
  }

  it('keeps the last of two equal keys, unless keys must be unique', () => {
    assert.deepEqual(parseJson('{"a": 1, "a": 2}', 'x'), { a: 2 });
    assert.throws(
      () => parseJsonUniqueKeys('{"a": 1,\n "a": 2}', 'x', 10),
      /^DistriError: x:2:2: the key "a" occurs twice$/,
    );
  });

  it('keeps a key __proto__ apart from the prototype', () => {
    const value = parseJson('{"__proto__": {"polluted": 1}}', 'x') as Record<string, unknown>;
    assert.equal(value.polluted, undefined);
    assert.deepEqual(Object.keys(value), ['__proto__']);
  });
});

describe('JSON that asks for too much is refused soon', () => {
  it('as millions of values', () => {
    const started = performance.now();
    assert.throws(() => parseJson(`[${'[],'.repeat(15_000_000)}[]]`, 'x'), {
      message: /^x:1:\d+: more than the 5000000 values that are expected$/,
    });
    assert.ok(performance.now() - started < 20_000);
  });

  it('as millions of lines before a mistake', () => {
    const before = process.resourceUsage().maxRSS;
    assert.throws(() => parseJson(`${'\n'.repeat(50_000_000)}?`, 'x'), {
      message: 'x:50000001:1: expected a value but found "?"',
    });
    assert.ok((process.resourceUsage().maxRSS - before) * 1024 < 200e6);
  });
});

describe('broken JSON is refused with line and column', () => {
  const cases: [string, string][] = [
    ['', 'x:1:1: expected a value but found the end'],
    ['{', 'x:1:2: expected a key in double quotes but found the end'],
    ['{"a": 1,\n  b: 2}', 'x:2:3: expected a key in double quotes but found "b"'],
    ['{"a" 1}', 'x:1:6: expected ":" but found "1"'],
    ['{"a": 1,}', 'x:1:9: expected a key in double quotes but found "}"'],
    ['[1 2]', 'x:1:4: expected "]" but found "2"'],
    ['[1,]', 'x:1:4: expected a value but found "]"'],
    ['[01]', 'x:1:3: expected "]" but found "1"'],
    ['"a\nb"', 'x:1:3: expected the end of a string but found "\\n"'],
    ['"a\\x"', 'x:1:3: expected the end of a string but found "\\\\"'],
    ['"a', 'x:1:3: expected the end of a string but found the end'],
    ['{} {}', 'x:1:4: expected the end of the file but found "{"'],
    ['[-]', 'x:1:2: expected a value but found "-"'],
    ["{'a': 1}", 'x:1:2: expected a key in double quotes but found "\'"'],
  ];
  for (const [text, message] of cases) {
    it(JSON.stringify(text), () =>
      assert.throws(() => parseJson(text, 'x'), { name: 'DistriError', message }),
    );
  }

  it('nested beyond reason', () => {
    assert.throws(() => parseJson('['.repeat(1_000_000), 'x'), /x:1:201: nested deeper than 200 levels/);
  });
});

describe('a JSON file', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'distri-json-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('is refused beyond its limit', async () => {
    const path = join(folder, 'large.json');
    await writeFile(path, `"${'x'.repeat(100)}"`);
    await assert.rejects(readJson(path, 50), {
      message: `${path}: 102 B, but at most 50 B are expected of JSON`,
    });
  });

  it('is refused when it is no object, not UTF-8, or absent', async () => {
    const path = join(folder, 'list.json');
    await writeFile(path, '[]');
    await assert.rejects(readJsonObject(path), { message: `${path}: not a JSON object` });
    await writeFile(path, Uint8Array.of(0x22, 0xff, 0x22));
    await assert.rejects(readJson(path), { message: `${path}: not UTF-8 text` });
    await assert.rejects(readJson(join(folder, 'none.json')), DistriError);
  });
});
