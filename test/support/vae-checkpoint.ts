import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readJsonObject } from '../../src/base/json.js';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.js';
import { SafetensorsFile, writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { tinySdxl } from './golden.js';

const weightsName = 'diffusion_pytorch_model.safetensors';

/**
 * The tiny SDXL checkpoint's VAE with what `change` makes of its weights, in a temporary folder that `use`
 * sees.
 */
export async function withVae<T>(
  change: (weights: Map<string, Tensor>) => Map<string, Tensor>,
  config: Readonly<Record<string, unknown>>,
  use: (checkpoint: Checkpoint) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'distri-vae-'));
  try {
    const file = await SafetensorsFile.open(join(tinySdxl, 'vae', weightsName));
    const weights = new Map<string, Tensor>();
    for (const name of file.tensors.keys()) weights.set(name, await file.read(name));
    await mkdir(join(directory, 'vae'));
    await writeSafetensors(
      join(directory, 'vae', weightsName),
      Object.fromEntries(change(weights)) as Parameters<typeof writeSafetensors>[1],
    );
    const given = await readJsonObject(join(tinySdxl, 'vae', 'config.json'));
    await writeFile(join(directory, 'vae', 'config.json'), JSON.stringify({ ...given, ...config }));
    for (const part of [
      'text_encoder',
      'text_encoder_2',
      'tokenizer',
      'tokenizer_2',
      'unet',
      'scheduler',
      'model_index.json',
    ]) {
      await symlink(join(tinySdxl, part), join(directory, part));
    }
    return await use(await openCheckpoint(directory));
  } finally {
    await rm(directory, { recursive: true });
  }
}
