import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readPromptsFile } from '../../src/app/prompts.js';

const folder = await mkdtemp(join(tmpdir(), 'distri-prompts-'));
after(() => rm(folder, { recursive: true }));
const path = join(folder, 'prompts.txt');

test('a prompt per line: line ends of all systems, blanks around a prompt and empty lines do not count', async () => {
  await writeFile(path, '\uFEFFa red heart\r\n\n   \n\ta "white", star \nein grüner Würfel');
  assert.deepEqual(await readPromptsFile(path), [
    { text: 'a red heart', origin: `line 1 of ${path}` },
    { text: 'a "white", star', origin: `line 4 of ${path}` },
    { text: 'ein grüner Würfel', origin: `line 5 of ${path}` },
  ]);
});

const refused: readonly [what: string, content: string | Uint8Array, message: RegExp][] = [
  ['a file without a prompt', ' \n\n', /prompts\.txt: has no prompt; give one per line$/],
  ['an empty file', '', /has no prompt/],
  ['a picture', Uint8Array.of(0x89, 0x50, 0x4e, 0x47), /prompts\.txt: not UTF-8 text$/],
];
for (const [what, content, message] of refused) {
  test(`${what} is refused`, async () => {
    await writeFile(path, content);
    await assert.rejects(readPromptsFile(path), { code: 'usage', message });
  });
}

test('what is no regular file, or too large, is refused', { timeout: 20_000 }, async () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await assert.rejects(readPromptsFile(pipe), { code: 'usage', message: /pipe: not a regular file$/ });
  await assert.rejects(readPromptsFile('/dev/zero'), { message: '/dev/zero: not a regular file' });
  await writeFile(path, '');
  await truncate(path, 2 ** 40);
  await assert.rejects(readPromptsFile(path), {
    message: /1\.10 TB, but at most 67\.1 MB are expected of prompts$/,
  });
});

test('a file that is not there is refused', () =>
  assert.rejects(readPromptsFile(join(folder, 'x')), {
    code: 'usage',
    message: /x: no such file or folder$/,
  }));
