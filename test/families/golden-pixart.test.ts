import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { chooseDevice, engineNames } from '../../src/engine/device.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { assertClose, comparePictures } from '../support/golden.js';
import { type DitCase, openDit, pixArtCases, pixArtRequest, tinyPixArt } from '../support/golden-dit.js';
import { generateHere } from '../support/in-process.js';

type Bound = { absolute: number } | { relative: number };

/**
 * Clipping the predicted sample makes DDIM with epsilon prediction ill-conditioned: equivalent reference runs
 * differ so much.
 */
function isClipped({ scheduler_config }: DitCase): boolean {
  return scheduler_config.clip_sample === true;
}

function bound(name: string, golden: DitCase): Bound {
  const clipped = isClipped(golden);
  if (/input_ids|attention_mask|^resolution|^aspect_ratio/.test(name)) return { absolute: 0 };
  if (name === 'timesteps') return golden.scheduler === 'euler' ? { relative: 1e-6 } : { absolute: 0 };
  if (name === 'sigmas') return { relative: 1e-6 };
  if (name === 'init_noise' || name.startsWith('step_noise')) return { absolute: 5e-6 };
  if (/embeds$|^encoder_hidden_states$/.test(name)) return { relative: 2e-5 };
  if (name === 'init_latents') return { relative: 1e-5 };
  if (name.startsWith('noise_pred')) return clipped ? { absolute: 3e-4 } : { relative: 1e-5 };
  if (/latents/.test(name)) return clipped ? { absolute: 1e-3 } : { relative: 1e-5 };
  assert.equal(name, 'decoded');
  return { absolute: clipped ? 3e-4 : 1e-4 };
}

/** Share of a picture's values that may differ by one level. */
function levels(golden: DitCase): number {
  return golden.use_resolution_binning || isClipped(golden) ? 3e-3 : 1e-3;
}

/** The checkpoint with the case's scheduler, which Python writes with -Infinity. */
async function withScheduler({ scheduler_config }: DitCase): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'distri-pixart-'));
  await cp(tinyPixArt, directory, { recursive: true });
  const json = JSON.stringify(scheduler_config).replace('"-inf"', '-Infinity');
  await rm(join(directory, 'scheduler', 'scheduler_config.json'), { force: true });
  await writeFile(join(directory, 'scheduler', 'scheduler_config.json'), json);
  return directory;
}

describe('one rank computes what PixArtAlphaPipeline of diffusers computes', async () => {
  const cases = await pixArtCases();
  for (const [engine, golden] of engineNames.flatMap((engine) =>
    cases.map((golden) => [engine, golden] as const),
  )) {
    it(`${golden.name}, by ${engine}`, async () => {
      const device = chooseDevice({ engine, dtype: 'fp32' }, 'narrow');
      const directory = await withScheduler(golden);
      try {
        const { trace = {} } = await generateHere(directory, pixArtRequest(golden), device);
        const file = await openDit(golden.name);
        for (const name of file.tensors.keys()) {
          const wanted = await file.read(name);
          // The transformer is called with the scheduler's timesteps.
          const actual = name === 'transformer_timesteps' ? asFloats(trace.timesteps) : trace[name];
          if (name === 'image_uint8') comparePictures(actual as Tensor, wanted, levels(golden));
          else if (name === 'transformer_timesteps') assertClose(actual, wanted, { relative: 1e-6 }, name);
          else assertClose(actual, wanted, bound(name, golden), name);
        }
      } finally {
        await rm(directory, { recursive: true });
      }
    });
  }
});

function asFloats(tensor: Tensor | undefined): Tensor | undefined {
  return tensor && { dtype: 'float32', shape: tensor.shape, data: Float32Array.from(tensor.data, Number) };
}
