import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseDevice, engineNames } from '../../src/engine/device.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';
import { assertClose, comparePictures } from '../support/golden.js';
import { fluxCases, fluxRequest, openDit, tinyFlux } from '../support/golden-dit.js';
import { generateHere } from '../support/in-process.js';

/** Share of a picture's values that may differ by one level. */
const LEVELS = 1e-3;

function bound(name: string): { absolute: number } | { relative: number } {
  if (/input_ids|_ids$|^guidance$/.test(name)) return { absolute: 0 };
  if (/timesteps$|^sigmas$/.test(name)) return { relative: 1e-6 };
  if (name === 'init_noise') return { absolute: 5e-6 };
  if (/pooled_prompt_embeds$/.test(name)) return { relative: 1e-5 };
  if (/prompt_embeds$/.test(name)) return { relative: 2e-5 };
  if (/latents|^noise_pred|^vae_input$/.test(name)) return { relative: 1e-5 };
  assert.equal(name, 'decoded');
  return { absolute: 1e-4 };
}

/** What the transformer of diffusers is called with. */
function transformerTimesteps({ shape, data }: Tensor): Tensor {
  return float32(
    shape,
    (data as Float32Array).map((value) => value / 1000),
  );
}

describe('one rank computes what FluxPipeline of diffusers computes', async () => {
  const cases = await fluxCases();
  for (const [engine, golden] of engineNames.flatMap((engine) =>
    cases.map((golden) => [engine, golden] as const),
  )) {
    it(`${golden.name}, by ${engine}`, async () => {
      const device = chooseDevice({ engine, dtype: 'fp32' }, 'narrow');
      const { trace = {} } = await generateHere(tinyFlux, fluxRequest(golden), device);
      const file = await openDit(golden.name);
      for (const name of file.tensors.keys()) {
        const wanted = await file.read(name);
        const actual =
          name === 'transformer_timesteps' ? transformerTimesteps(trace.timesteps as Tensor) : trace[name];
        if (name === 'image_uint8') comparePictures(actual as Tensor, wanted, LEVELS);
        else assertClose(actual, wanted, bound(name), name);
      }
    });
  }
});
