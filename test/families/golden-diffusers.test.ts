import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import type { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import { chooseDevice, type DeviceChoice, engineNames } from '../../src/engine/device.js';
import { readUNet2DConditionConfig, UNet2DConditionModel } from '../../src/models/unet-2d-condition.js';
import { tileRows } from '../../src/pipelines/conditioning.js';
import { stepName } from '../../src/pipelines/denoise/recorder.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';
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
import { runComponent } from '../support/run-graph.js';

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

/**
 * Clipping the predicted sample makes DDIM with epsilon prediction ill-conditioned: equivalent reference runs
 * differ so much.
 */
const clipped: Tolerances = {
  latents: { absolute: 1e-2 },
  noise: { absolute: 2e-2 },
  decoded: 2e-2,
  levels: 0.15,
};

function tolerances(golden: DiffusersCase): Tolerances {
  return golden.scheduler === 'ddim' && golden.scheduler_config.clip_sample === true ? clipped : usual;
}

const seeded: Readonly<Record<string, string>> = {
  'tiny-sdxl': tinySdxl,
  'tiny-sd15': tinySd15,
  'tiny-sd21': tinySd21,
};

function predictsVelocityByPndm({ scheduler, scheduler_config }: DiffusersCase): boolean {
  return scheduler === 'pndm' && scheduler_config.prediction_type === 'v_prediction';
}

/**
 * The noise predictions of the stored latents of each step. PNDM's weights of older predictions add up to 6:
 * where they weigh a v-prediction, small differences of the latents (8e-6 of their maximum after 8 steps)
 * come back in the next prediction a little larger. So predictions are compared for a given input, as all of
 * a model's results, and the latents where our own predictions lead.
 */
async function predictionsOfStored(file: SafetensorsFile): Promise<Record<string, Tensor>> {
  const predictions: Record<string, Tensor> = {};
  const timesteps = (await file.read('timesteps')).data;
  const embeds = [await file.read('negative_prompt_embeds'), await file.read('prompt_embeds')];
  for (const [step, timestep] of Array.from(timesteps, Number).entries()) {
    const name = stepName('noise_pred', step);
    if (!file.tensors.has(name)) continue;
    const before = step === 0 ? 'init_latents' : stepName('latents', step - 1);
    const latents = (await file.read(before)) as Tensor<'float32'>;
    const [, , rows, columns] = latents.shape as [number, number, number, number];
    const results = await runComponent(
      tinySd21,
      'unet',
      async (checkpoint, layers) => {
        const config = readUNet2DConditionConfig(await checkpoint.config('unet'));
        new UNet2DConditionModel(config, layers).build({ batch: 2, rows, columns, textTokens: 77 });
      },
      ['conv_out'],
      {
        sample: tileRows(latents, 2),
        timestep: float32([1], Float32Array.of(timestep)),
        encoder_hidden_states: stackRows(embeds as Tensor<'float32'>[]),
      },
    );
    predictions[name] = results.conv_out as Tensor;
  }
  return predictions;
}

function stackRows(tensors: readonly Tensor<'float32'>[]): Tensor<'float32'> {
  const [first] = tensors as [Tensor<'float32'>];
  const data = Float32Array.from(tensors.flatMap((tensor) => Array.from(tensor.data)));
  return float32([tensors.length * (first.shape[0] as number), ...first.shape.slice(1)], data);
}

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
  return { picture: path, strength };
}

for (const engine of engineNames) {
  const device = chooseDevice({ engine, dtype: 'fp32' }, 'narrow');
  describeCases(`one rank computes what diffusers computes, by ${engine}`, await diffusersCases(), device);
}

function describeCases(title: string, cases: readonly DiffusersCase[], device: DeviceChoice): void {
  describe(title, () => {
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'distri-fp16-'));
      await makeFp16Checkpoint(tinySdxl, join(folder, 'tiny-sdxl-fp16'));
    });
    after(() => rm(folder, { recursive: true }));

    for (const golden of cases) {
      it(golden.name, async () => {
        const source = seeded[golden.checkpoint] ?? join(folder, golden.checkpoint);
        const checkpoint = await withSchedulerConfig(source, golden.scheduler_config);
        try {
          const file: SafetensorsFile = await openDiffusers(golden.name);
          const request = diffusersRequest(golden);
          const initImage = await storedInitImage(golden, file, join(folder, `${golden.name}.png`));
          const { trace = {} } = await generateHere(checkpoint.directory, { ...request, initImage }, device);
          const given = predictsVelocityByPndm(golden) ? await predictionsOfStored(file) : {};
          for (const name of file.tensors.keys())
            compare(name, given[name] ?? trace[name], await file.read(name), tolerances(golden));
        } finally {
          await checkpoint.remove();
        }
      });
    }
  });
}
