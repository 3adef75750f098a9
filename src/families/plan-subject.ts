import { basename, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { expected } from '../base/errors.js';
import { embeddedModel } from '../base/package.js';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { integer, number, repeated, side, text } from '../commands/options/parsers.js';
import {
  type AutoencoderKLConfig,
  readAutoencoderKLConfig,
  vaeScaleFactor,
} from '../models/autoencoder-kl.js';
import { readCLIPTextConfig } from '../models/clip-text.js';
import { type NoiseModel, pixArtModel, unetModel } from '../models/noise-model.js';
import { readPixArtTransformer2DConfig } from '../models/pixart-transformer-2d.js';
import { readUNet2DConditionConfig } from '../models/unet-2d-condition.js';
import { type ParallelismName, parallelismNames, transformerParallelismNames } from '../pipelines/request.js';
import type { PlannedImage } from '../planning/rank-work.js';
import { architectureClass, readArchitecture } from './architectures.js';
import { CAPTION_TOKENS } from './pixart-alpha.js';

/** What of a model decides how its pictures can be shared. */
export interface PlanSubject {
  readonly model: NoiseModel;
  /** Rows and columns of latents of the pictures that it was made for, where it says. */
  readonly sampleSize: number | undefined;
  /** Pixels per latent. */
  readonly factor: number;
  readonly textTokens: number;
  /** Undefined for architectures without one. */
  readonly vae?: AutoencoderKLConfig;
}

export interface SubjectOptions {
  readonly pretrained_model_name_or_path?: string;
  readonly random_weights?: string;
  readonly variant?: string;
  readonly revision?: string;
}

/** Of SDXL's VAE and text encoders, for architectures that are known by their UNet alone. */
const SDXL_FACTOR = 8;
const SDXL_TOKENS = 77;
/** SDXL base's size, for models that do not say theirs. */
const SDXL_SIZE = 1024;

/** Which model and which picture. */
export function addSubjectOptions(command: Command): Command {
  return command
    .optionsGroup('Model:')
    .addOption(
      new Option(
        '--model, --pretrained_model_name_or_path <model>',
        "folder in diffusers' layout or hub id (default: the embedded tiny-shapes)",
      ).argParser(text('--model')),
    )
    .addOption(
      new Option('--random_weights <name>', 'a known architecture instead, without weights').argParser(
        text('--random_weights'),
      ),
    )
    .addOption(new Option('--variant <name>', 'variant of the weight files').argParser(text('--variant')))
    .addOption(
      new Option('--revision <name>', 'branch, tag or commit of a hub id').argParser(text('--revision')),
    )
    .optionsGroup('Picture:')
    .addOption(
      new Option(
        '--image_size <pixels...>',
        "side of a square, or height and width; multiples of 8 (default: the model's own)",
      ).argParser(repeated(side('--image_size'))),
    )
    .addOption(
      new Option('--num_inference_steps <n>', 'denoising steps')
        .argParser(integer('--num_inference_steps', 1))
        .default(50),
    )
    .addOption(
      new Option('--guidance_scale <number>', 'strength of classifier-free guidance; off at 1 or less')
        .argParser(number('--guidance_scale', 0))
        .default(5),
    );
}

/** The model that the options name: an architecture without weights, a checkpoint, or the embedded model. */
export async function openSubject(options: SubjectOptions): Promise<PlanSubject & { readonly name: string }> {
  const { random_weights: architecture, variant, revision } = options;
  if (architecture !== undefined) return { name: architecture, ...(await architectureSubject(architecture)) };
  const model = options.pretrained_model_name_or_path ?? embeddedModel;
  const checkpoint = await openCheckpoint(model, { variant, revision });
  const local = model === embeddedModel || /^[./]/.test(model);
  return { name: local ? basename(resolve(model)) : model, ...(await checkpointSubject(checkpoint)) };
}

/** Ways to share a picture of this model. */
export function plannedParallelisms({ model }: PlanSubject): readonly ParallelismName[] {
  return model.blocks === undefined ? parallelismNames : transformerParallelismNames;
}

/** Of the checkpoint of any pipeline that distri runs. */
export async function checkpointSubject(
  checkpoint: Pick<Checkpoint, 'config' | 'pipelineClass'>,
): Promise<PlanSubject> {
  return checkpoint.pipelineClass === 'PixArtAlphaPipeline'
    ? pixArtSubject(checkpoint)
    : unetSubject(checkpoint);
}

async function pixArtSubject(checkpoint: Pick<Checkpoint, 'config'>): Promise<PlanSubject> {
  const config = readPixArtTransformer2DConfig(await checkpoint.config('transformer'));
  const vae = readAutoencoderKLConfig(await checkpoint.config('vae'));
  return {
    model: pixArtModel(config),
    sampleSize: config.sampleSize,
    factor: vaeScaleFactor(vae),
    textTokens: CAPTION_TOKENS,
    vae,
  };
}

export async function architectureSubject(name: string): Promise<PlanSubject> {
  if ((await architectureClass(name)) === 'PixArtTransformer2DModel') {
    const transformer = readPixArtTransformer2DConfig(
      await readArchitecture(name, 'PixArtTransformer2DModel'),
    );
    const { sampleSize } = transformer;
    const model = pixArtModel(transformer);
    return { model, sampleSize, factor: SDXL_FACTOR, textTokens: CAPTION_TOKENS };
  }
  const unet = readUNet2DConditionConfig(await readArchitecture(name));
  const { sampleSize } = unet;
  return { model: unetModel(unet), sampleSize, factor: SDXL_FACTOR, textTokens: SDXL_TOKENS };
}

async function unetSubject(checkpoint: Pick<Checkpoint, 'config'>): Promise<PlanSubject> {
  const unet = readUNet2DConditionConfig(await checkpoint.config('unet'));
  const vae = readAutoencoderKLConfig(await checkpoint.config('vae'));
  return {
    model: unetModel(unet),
    sampleSize: unet.sampleSize,
    factor: vaeScaleFactor(vae),
    vae,
    textTokens: readCLIPTextConfig('text_encoder', await checkpoint.config('text_encoder')).maxPositions,
  };
}

/** `images` pictures of the size asked for, or of the model's own. */
export function plannedImage(
  { model, sampleSize, factor, textTokens }: PlanSubject,
  imageSize: readonly number[] = [],
  images = 1,
): PlannedImage {
  if (imageSize.length > 2) {
    throw expected('one number, or height and width,', '--image_size', imageSize.join(' '));
  }
  const native = sampleSize === undefined ? SDXL_SIZE : sampleSize * factor;
  const [height = native, width = height] = imageSize;
  const unit = factor * (model.blocks?.patchSize ?? 1);
  if (model.blocks && (height % unit !== 0 || width % unit !== 0)) {
    throw expected(`multiples of ${unit}`, '--image_size', `${height} ${width}`);
  }
  const [rows, columns] = [Math.floor(height / factor), Math.floor(width / factor)];
  return { model, rows, columns, textTokens, images };
}
