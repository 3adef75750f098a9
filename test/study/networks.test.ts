import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import sharp from 'sharp';
import type { DrawnSetting } from '../../bench/study/draw.js';
import { alone, type Setting, settingName } from '../../bench/study/grid.js';
import { StudyNetworks } from '../../bench/study/networks.js';
import { alexNetShapes } from '../../src/metrics/networks/alexnet-lpips.js';
import { writeGenerated } from '../metrics/generated-weights.js';

const folder = await mkdtemp(join(tmpdir(), 'distri-study-'));
after(() => rm(folder, { recursive: true }));

async function drawn(setting: Setting, red: number): Promise<DrawnSetting> {
  const path = join(folder, `${red}.png`);
  const background = { r: red, g: 80, b: 30 };
  await sharp({ create: { width: 64, height: 64, channels: 3, background } }).toFile(path);
  return { setting, paths: [path], latents: [] };
}

it('measures what it has the weights for, and says what it has none for', async () => {
  const one = await drawn(alone, 10);
  const [same, other] = (['tensor', 'naive_patch'] as const).map(
    (name): Setting => ({ mode: { name, parallelism: name, options: {} }, ranks: 2, warmupSteps: undefined }),
  ) as [Setting, Setting];
  const settings = [{ ...one, setting: same }, await drawn(other, 200)];
  const weights = join(folder, 'alexnet.safetensors');
  const given = { lpips: [await writeGenerated(weights, alexNetShapes)], fid: undefined };
  const { signal } = new AbortController();
  const networks = await StudyNetworks.open(given);
  const likenesses = await networks.measure(one, settings, signal).finally(() => networks.close());
  const [lpips] = likenesses;
  assert.deepEqual([likenesses.length, lpips?.name, lpips?.better], [1, 'LPIPS', 'lower']);
  assert.deepEqual(lpips?.perPicture.get(settingName(same)), [0]);
  assert.ok((lpips?.perPicture.get(settingName(other))?.[0] ?? 0) > 0);
  assert.match(networks.missing.join(), /^FID.*--fid_weights/);
});

it('measures neither without weights', async () => {
  const networks = await StudyNetworks.open({ lpips: [], fid: undefined });
  const likenesses = await networks.measure(await drawn(alone, 20), [], new AbortController().signal);
  assert.deepEqual([likenesses.length, networks.missing.length], [0, 2]);
});

it('refuses weights that are not there before anything is drawn', async () => {
  const absent = join(folder, 'absent.safetensors');
  await assert.rejects(StudyNetworks.open({ lpips: [absent], fid: undefined }), /absent\.safetensors/);
});
