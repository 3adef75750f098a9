import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type DeviceChoice, dtypeNames } from '../../src/engine/device.js';
import { readImage } from '../../src/images/pixels.js';
import type { ParallelOptions } from '../../src/parallel/registry.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { tinyPixArt } from '../support/golden-dit.js';
import { TracingRanks } from '../support/rank-group.js';
import { parallelOf, requestOf } from '../support/requests.js';
import { Cli, inNewFolder } from './cli.js';

const rankCounts = [1, 2, 3, 5, 8];

/** The embedded model's picture, by synchronous patches and with its VAE in bands. */
async function pixels(folder: string, dtype: string, ranks: number): Promise<unknown> {
  const path = join(folder, `${dtype}-${ranks}.png`);
  // Rows that are cut on the way up, and columns that are not.
  const size = ['--num_inference_steps', '3', '--height', '200', '--width', '128'];
  const how = ['--sync_mode', 'full_sync', '--engine', 'lowered', '--dtype', dtype, '-n', `${ranks}`];
  const { status, stderr } = await new Cli(['run-sdxl', ...size, ...how, '--output_path', path], folder)
    .ended;
  assert.equal(status, 0, stderr);
  return (await readImage(path)).pixels;
}

for (const dtype of dtypeNames) {
  it(`a picture has the same bytes whatever the number of ranks, in ${dtype}`, () =>
    inNewFolder(async (folder) => {
      const alone = await pixels(folder, dtype, 1);
      for (const ranks of rankCounts.slice(1)) {
        assert.deepEqual(await pixels(folder, dtype, ranks), alone, `${ranks} ranks`);
      }
    }));
}

/** Ways to share a transformer that compute what a rank alone does. */
const ways = {
  'synchronous patches': parallelOf('patch', { syncMode: 'full_sync' }),
  'synchronous patches of half the batch': parallelOf('patch', { syncMode: 'full_sync', splitBatch: true }),
  'Ulysses and ring': parallelOf('sequence'),
  'a ring': parallelOf('sequence', { ulyssesDegree: 1 }),
  'stages of whole pictures': parallelOf('pipefusion', { numPipelinePatch: 1 }),
} as const satisfies Readonly<Record<string, ParallelOptions>>;

/** As many as the tiny checkpoint has layers. */
const MOST_STAGES = 4;

describe('latents of PixArt have the same bits whatever the number of ranks', async () => {
  const request = requestOf({
    height: 144,
    width: 48,
    numInferenceSteps: 2,
    familyOptions: { useResolutionBinning: false },
  });
  const draw = async (
    ranks: TracingRanks,
    way: ParallelOptions,
    dtype: DeviceChoice['dtype'],
  ): Promise<Tensor> => {
    const device = { device: 'cpu', engine: 'lowered', dtype } as const;
    return (await ranks.draw(tinyPixArt, request, way, device)).read('final_latents');
  };
  const withRanks = async (count: number, use: (ranks: TracingRanks) => Promise<void>): Promise<void> => {
    const ranks = await TracingRanks.launch(count);
    await use(ranks).finally(() => ranks.close());
  };
  const alone = new Map<string, Tensor>();
  await withRanks(1, async (ranks) => {
    for (const dtype of dtypeNames) {
      alone.set(dtype, await draw(ranks, parallelOf('patch'), dtype));
    }
  });
  for (const count of rankCounts.slice(1)) {
    it(`${count} ranks`, () =>
      withRanks(count, async (ranks) => {
        for (const [name, way] of Object.entries(ways)) {
          if (way.parallelism === 'pipefusion' && count > MOST_STAGES) continue;
          if (way.splitBatch && count % 2 !== 0) continue;
          for (const dtype of dtypeNames) {
            const { data } = await draw(ranks, way, dtype);
            assert.deepEqual(data, alone.get(dtype)?.data, `${name}, ${dtype}`);
          }
        }
      }));
  }
});
