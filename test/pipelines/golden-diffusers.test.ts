import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import type { SafetensorsFile } from '../../src/checkpoint/safetensors.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { makeFp16Checkpoint } from '../support/fp16-checkpoint.js';
import {
  assertClose,
  comparePictures,
  type DiffusersCase,
  diffusersCases,
  diffusersRequest,
  openDiffusers,
  tinySd15,
  tinySd21,
  tinySdxl,
  withSchedulerConfig,
} from '../support/golden.js';
import { generateHere } from '../support/in-process.js';

interface Tolerances {
  readonly latents: { absolute: number } | { relative: number };
  readonly noise: { absolute: number } | { relative: number };
  readonly decoded: number;
  /** Share of the picture's values that may differ by one level. */
  readonly levels: number;
}

const usual: Tolerances = {
  latents: { relative: 1e-5 },
  noise: { relative: 1e-5 },
  decoded: 1e-4,
  levels: 1e-3,
};

/** Clipping the predicted sample makes DDIM with epsilon prediction ill-conditioned: equivalent reference runs differ so much. */
const clipped: Tolerances = {
  latents: { absolute: 1e-2 },
  noise: { absolute: 2e-2 },
  decoded: 2e-2,
  levels: 0.15,
};

/**
 * PNDM's large weights of older predictions add up the rounding errors of a v-prediction: two runs of distri, with weights repacked and not,
 * differ by 1.1e-5 of the largest number after 9 calls, and by 3e-6 with the other samplers.
 */
const multistep: Tolerances = { ...usual, latents: { relative: 3e-5 }, noise: { relative: 3e-5 } };

function tolerances(golden: DiffusersCase): Tolerances {
  const { prediction_type } = golden.scheduler_config;
  if (golden.scheduler === 'pndm' && prediction_type === 'v_prediction') return multistep;
  return golden.scheduler === 'ddim' && golden.scheduler_config.clip_sample === true ? clipped : usual;
}

const seeded: Readonly<Record<string, string>> = {
  'tiny-sdxl': tinySdxl,
  'tiny-sd15': tinySd15,
  'tiny-sd21': tinySd21,
};

/** How a stored tensor is compared: pictures by levels, all others by a bound. */
function bound(name: string, allowed: Tolerances): { absolute: number } | { relative: number } {
  if (/^(negative_)?input_ids|^init_image|^timesteps|^add_time_ids/.test(name)) return { absolute: 0 };
  if (name === 'sigmas') return { relative: 2e-6 };
  if (/noise$|^step_noise/.test(name)) return { absolute: 5e-6 };
  if (/^posterior_(mean|logvar)$/.test(name)) return { relative: 1e-5 };
  if (/embeds$/.test(name)) return { absolute: 1e-5 };
  if (/^noise_pred_/.test(name)) return allowed.noise;
  if (/latents/.test(name)) return allowed.latents;
  assert.equal(name, 'decoded');
  return { absolute: allowed.decoded };
}

function compare(name: string, actual: Tensor | undefined, wanted: Tensor, allowed: Tolerances): void {
  if (name === 'image_uint8') comparePictures(actual as Tensor, wanted, allowed.levels);
  else assertClose(actual, wanted, bound(name, allowed), name);
}

/** The picture that a case begins with, as a file. */
async function storedInitImage({ strength }: DiffusersCase, file: SafetensorsFile, path: string) {
  if (strength === null) return undefined;
  const { shape, data } = await file.read('init_image_uint8');
  const [height, width] = shape as [number, number];
  await sharp(data as Uint8Array, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(path);
  return { path, strength };
}

describe('one rank computes what diffusers computes', async () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'distri-fp16-'));
    await makeFp16Checkpoint(tinySdxl, join(folder, 'tiny-sdxl-fp16'));
  });
  after(() => rm(folder, { recursive: true }));

  for (const golden of await diffusersCases()) {
    it(golden.name, async () => {
      const source = seeded[golden.checkpoint] ?? join(folder, golden.checkpoint);
      const checkpoint = await withSchedulerConfig(source, golden.scheduler_config);
      try {
        const file: SafetensorsFile = await openDiffusers(golden.name);
        const request = diffusersRequest(golden);
        const initImage = await storedInitImage(golden, file, join(folder, `${golden.name}.png`));
        const { trace = {} } = await generateHere(checkpoint.directory, { ...request, initImage });
        for (const name of file.tensors.keys())
          compare(name, trace[name], await file.read(name), tolerances(golden));
      } finally {
        await checkpoint.remove();
      }
    });
  }
});
