import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { DistriError } from '../../src/base/errors.js';
import { CLIPTokenizer } from '../../src/tokenizers/clip.js';
import { goldenPath } from '../support/golden-files.js';

const START = 708;
const END = 709;

let root: string;
let directory: string;
let count = 0;

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'distri-tokenizer-'));
});

/** Each test changes a copy of its own. */
beforeEach(async () => {
  directory = join(root, String(count++));
  await cp(goldenPath('tiny-sdxl/tokenizer'), directory, { recursive: true });
});

after(() => rm(root, { recursive: true }));

function write(name: string, content: string | object): Promise<void> {
  return writeFile(join(directory, name), typeof content === 'string' ? content : JSON.stringify(content));
}

async function readObject(name: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(join(directory, name), 'utf8')) as Record<string, unknown>;
}

async function idsOf(text: string): Promise<number[]> {
  return (await CLIPTokenizer.load(directory)).encode(text).ids;
}

async function assertRefused(message: RegExp): Promise<void> {
  await assert.rejects(
    () => CLIPTokenizer.load(directory),
    (error) => error instanceof DistriError && error.code === 'checkpoint' && message.test(error.message),
  );
}

test('what does not fit is given as text', async () => {
  const tokenizer = await CLIPTokenizer.load(directory);
  assert.equal(tokenizer.encode('cat '.repeat(75)).truncated, undefined);
  const { ids, truncated } = tokenizer.encode(`${'cat '.repeat(75)}a red dog, é 你`);
  assert.equal(truncated, 'a red dog , é 你');
  assert.deepEqual([ids.length, ids[0], ids[75], ids[76]], [77, START, 683, END]);
});

test('tokenizer.json serves where the older files are missing', async () => {
  const vocab = await readObject('vocab.json');
  const merges = (await readFile(join(directory, 'merges.txt'), 'utf8')).trim().split('\n').slice(1);
  const text = 'a photo of a red cat, café 你好';
  const expected = await idsOf(text);
  await rm(join(directory, 'merges.txt'));
  await write('tokenizer.json', { model: { vocab, merges } });
  assert.deepEqual(await idsOf(text), expected);
  await write('tokenizer.json', { model: { vocab, merges: merges.map((merge) => merge.split(' ')) } });
  assert.deepEqual(await idsOf(text), expected);
});

test('special tokens come from special_tokens_map.json where the config lists no added tokens', async () => {
  await write('tokenizer_config.json', { pad_token: '<|endoftext|>' });
  await write('special_tokens_map.json', { pad_token: { content: '!' } });
  assert.deepEqual((await idsOf('cat')).slice(0, 5), [START, 683, END, 0, 0]);
  await write('tokenizer_config.json', { pad_token: '<|endoftext|>', added_tokens_decoder: {} });
  assert.deepEqual((await idsOf('cat')).slice(0, 5), [START, 683, END, END, END]);
});

test('without any settings CLIP has its own', async () => {
  await rm(join(directory, 'tokenizer_config.json'));
  await rm(join(directory, 'special_tokens_map.json'));
  const ids = await idsOf('cat');
  assert.deepEqual([ids.length, ...ids.slice(0, 4)], [77, START, 683, END, END]);
});

test('added tokens are found as they are written, the longest first, with their spaces', async () => {
  const config = await readObject('tokenizer_config.json');
  const added = config.added_tokens_decoder as object;
  await write('tokenizer_config.json', {
    ...config,
    added_tokens_decoder: {
      ...added,
      710: { content: '<My-Cat>' },
      711: { content: '<My-Cat>s', lstrip: true },
    },
  });
  const tokenizer = await CLIPTokenizer.load(directory);
  const tokens = (text: string) => tokenizer.encode(text).ids.filter((id) => id < START || id > END);
  assert.deepEqual(tokens('cat<My-Cat>dog'), [683, 710, 560]);
  assert.deepEqual(tokens('cat <My-Cat>s dog'), [683, 711, 560]);
  assert.ok(!tokens('<my-cat>').includes(710));
});

test('the number of ids is that of the encoder, and model_max_length must not say otherwise', async () => {
  const config = await readObject('tokenizer_config.json');
  const ids = async (positions: number) =>
    (await CLIPTokenizer.load(directory, positions)).encode('cat cat cat cat').ids;
  await write('tokenizer_config.json', { ...config, model_max_length: 5 });
  assert.deepEqual(await ids(5), [START, 683, 683, 683, END]);
  for (const model_max_length of [1e30, null]) {
    await write('tokenizer_config.json', { ...config, model_max_length });
    assert.equal((await ids(77)).length, 77);
    assert.equal((await ids(6)).length, 6);
  }
  for (const model_max_length of [10, 1_000_000, 'long', -1]) {
    await write('tokenizer_config.json', { ...config, model_max_length });
    await assertRefused(
      new RegExp(
        `model_max_length = ${JSON.stringify(model_max_length)}, but the text encoder has 77 positions$`,
      ),
    );
  }
});

test('only as many merges count as transformers reads', async () => {
  const filler = Array.from({ length: 48894 }, (_, i) => `x${i} y${i}`).join('\n');
  await write('merges.txt', `#version: 0.2\n${filler}\nc at</w>\n`);
  assert.ok(!(await idsOf('cat')).includes(683));
});

test('a broken vocabulary is named with its file and place', async () => {
  const vocab = await readObject('vocab.json');
  const cases: [string, string | object, RegExp][] = [
    ['vocab.json', '{"a": 1,\n"b": }', /vocab\.json:2:6: expected a value/],
    ['vocab.json', '[1, 2]', /vocab\.json: not a JSON object/],
    ['vocab.json', '\u0000\u0001garbage', /vocab\.json:1:1/],
    ['vocab.json', { ...vocab, cat: 'x' }, /vocab\.json: token "cat" has the id "x"/],
    ['vocab.json', { ...vocab, cat: 1e300 }, /vocab\.json: token "cat" has the id/],
    ['merges.txt', '#version: 0.2\na b\nabc\n', /merges\.txt:3: a merge is two symbols, not \["abc"\]/],
    ['merges.txt', '#version: 0.2\na b\n\nc d\n', /merges\.txt:3/],
    ['merges.txt', `#version: 0.2\n${'a '.repeat(100_000)}`, /merges\.txt:2: .{0,300}$/],
    ['tokenizer_config.json', { pad_token: 7 }, /tokenizer_config\.json: pad_token is 7/],
    ['tokenizer_config.json', { added_tokens_decoder: { x: { content: 'y' } } }, /token "y" has the id "x"/],
  ];
  await rm(join(directory, 'special_tokens_map.json'));
  for (const [name, content, message] of cases) {
    const original = await readFile(join(directory, name));
    await write(name, content);
    await assertRefused(message);
    await writeFile(join(directory, name), original);
  }
  await rm(join(directory, 'tokenizer_config.json'));
  await write('vocab.json', { a: 0 });
  await assertRefused(/vocab\.json: has no id for the token "<\|startoftext\|>"/);
  await writeFile(join(directory, 'merges.txt'), Uint8Array.of(0xff, 0xfe, 0x00));
  await assertRefused(/merges\.txt: not UTF-8/);
  await rm(join(directory, 'vocab.json'));
  await assertRefused(/vocab\.json: no such file/);
  await write('tokenizer.json', { model: { vocab: {}, merges: {} } });
  await assertRefused(/tokenizer\.json: model has no vocab and merges/);
});

test('a vocabulary without some bytes gives unknown tokens', async () => {
  await write('vocab.json', { a: 0, '<|startoftext|>': START, '<|endoftext|>': END });
  await write('merges.txt', '#version: 0.2\n');
  assert.deepEqual((await idsOf('aab')).slice(0, 5), [START, 0, 0, END, END]);
});

test('a very long word takes time in proportion to its length', { timeout: 20_000 }, async () => {
  const tokenizer = await CLIPTokenizer.load(directory);
  for (const piece of ['pa', 'a', '!', '😀', '你', 'é', '\u0301']) {
    assert.equal(tokenizer.encode(piece.repeat(100_000 / piece.length)).ids.length, 77);
  }
});

test('no text crashes it', async () => {
  const tokenizer = await CLIPTokenizer.load(directory);
  for (const text of ['\ud800', 'a\udc00b', '\u0000', '\ufffd', 'toString __proto__ constructor', '$& $1']) {
    assert.equal(tokenizer.encode(text).ids.length, 77, JSON.stringify(text));
  }
});
