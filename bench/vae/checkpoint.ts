import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { embeddedModel } from '../../src/base/package.js';
import { WeightPlan, writeRandomWeights } from '../../src/checkpoint/random-weights.js';
import { Graph } from '../../src/graph/graph.js';
import { Kernels } from '../../src/graph/kernels/kernels.js';
import {
  AutoencoderKLDecoder,
  AutoencoderKLEncoder,
  readAutoencoderKLConfig,
} from '../../src/models/autoencoder-kl.js';
import { SingleDevice } from '../../src/parallel/layers/single-device.js';

/** Of the checkpoints of SDXL and of Stable Diffusion alike. */
const configText = {
  block_out_channels: [128, 256, 512, 512],
  down_block_types: Array(4).fill('DownEncoderBlock2D'),
  latent_channels: 4,
  layers_per_block: 2,
  sample_size: 1024,
  scaling_factor: 0.13025,
  up_block_types: Array(4).fill('UpDecoderBlock2D'),
};
export const vaeConfig = readAutoencoderKLConfig(configText);

/** A checkpoint whose VAE has random weights; the rest is that of the embedded model. */
export async function makeVaeCheckpoint(folder: string): Promise<string> {
  const directory = join(folder, 'model');
  await mkdir(join(directory, 'vae'), { recursive: true });
  for (const part of ['text_encoder', 'text_encoder_2', 'tokenizer', 'tokenizer_2', 'unet', 'scheduler']) {
    await symlink(join(embeddedModel, part), join(directory, part));
  }
  await symlink(join(embeddedModel, 'model_index.json'), join(directory, 'model_index.json'));
  await writeFile(join(directory, 'vae', 'config.json'), JSON.stringify(configText));
  const plan = new WeightPlan();
  const layers = () => new SingleDevice(new Kernels(new Graph()), plan);
  new AutoencoderKLDecoder(vaeConfig, layers()).build({ batch: 1, rows: 8, columns: 8 });
  new AutoencoderKLEncoder(vaeConfig, layers()).build({ batch: 1, height: 64, width: 64 });
  await writeRandomWeights(join(directory, 'vae', 'diffusion_pytorch_model.safetensors'), plan.entries);
  return directory;
}
