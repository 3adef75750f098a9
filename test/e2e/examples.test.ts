import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { inNewFolder, packageRoot } from './cli.js';

const examples = join(packageRoot, 'examples');

/** What each prints and which pictures it leaves. */
const expected: Readonly<Record<string, { readonly says: readonly RegExp[]; readonly pictures: number }>> = {
  'draw.mjs': { says: [], pictures: 1 },
  'steps.mjs': {
    says: [
      /^displaced patches, stale_gn, 3 synchronous steps, then stale$/m,
      /^step 12 of 12, the largest latent is \d/m,
      /^latents 1 x 4 x 32 x 32$/m,
      /^ended: seen enough$/m,
      /^usage: Expected multiples of 8 .*"100 256"$/m,
      /^1 picture of 256 x 256$/m,
    ],
    pictures: 0,
  },
  'several.mjs': { says: [/^a green box: [\d.]+ s$/m], pictures: 4 },
  'image-to-image.mjs': { says: [], pictures: 1 },
  'compare.mjs': {
    says: [/^2 x tensor: [\d.]+ ms a step, exact$/m, /^PSNR \d+\.\d\d dB over 2 pictures$/m],
    pictures: 4,
  },
};

test('there is a word on every example', async () => {
  assert.deepEqual((await readdir(examples)).sort(), Object.keys(expected).sort());
});

for (const [name, { says, pictures }] of Object.entries(expected)) {
  test(`examples/${name} runs`, () =>
    inNewFolder(async (folder) => {
      const options = { cwd: folder, env: { ...process.env, DISTRI_CACHE: join(folder, '.cache') } };
      const { stdout } = await promisify(execFile)(process.execPath, [join(examples, name)], options);
      for (const line of says) assert.match(stdout, line);
      const files = await readdir(folder, { recursive: true });
      const drawn = files.filter((path) => path.endsWith('.png'));
      assert.equal(drawn.length, pictures, drawn.join(', '));
      for (const path of drawn) {
        const { channels } = await sharp(join(folder, path)).stats();
        assert.ok(
          channels.some(({ stdev }) => stdev > 5),
          `${path} shows nothing`,
        );
      }
    }));
}
