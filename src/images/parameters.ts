import { snakeCased } from '../base/option-spec.js';
import type { PngText } from './png.js';

/** How a picture was made, for the texts of its PNG. */
export interface PictureParameters {
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly model: string;
  readonly variant: string | undefined;
  readonly seed: bigint;
  readonly rng: string;
  /** Which of the pictures of one generator it is: with the seed alone only the first is drawn again. */
  readonly batch: { readonly index: number; readonly size: number; readonly imagesPerPrompt: number };
  readonly steps: number;
  readonly scheduler: string;
  readonly eta: number;
  readonly guidanceScale: number;
  readonly height: number;
  readonly width: number;
  /** What it began with, and how much of that was drawn anew. */
  readonly initImage: string | undefined;
  readonly strength: number | undefined;
  /** Options of the model's family. */
  readonly family: Readonly<Record<string, unknown>>;
  /** Side of the VAE's tiles. */
  readonly tiles: number | undefined;
  readonly ranks: number;
  readonly threads: number;
  readonly dtype: string;
  /** What computed. */
  readonly engine: string;
  /** How the ranks shared it, by the names of options. */
  readonly parallel: Readonly<Record<string, unknown>>;
  /** Such as "displaced patches, corrected_async_gn, 5 synchronous steps". */
  readonly mode: string;
  readonly version: string;
}

/** One text for each parameter, and all of them as `parameters` in the style that web interfaces read. */
export function describePicture(picture: PictureParameters): PngText[] {
  const texts: Readonly<Record<string, unknown>> = {
    parameters: webParameters(picture),
    prompt: picture.prompt,
    negative_prompt: picture.negativePrompt,
    model: picture.model,
    variant: picture.variant,
    seed: picture.seed,
    rng: picture.rng,
    ...batchTexts(picture),
    num_inference_steps: picture.steps,
    scheduler: picture.scheduler,
    eta: picture.eta === 0 ? undefined : picture.eta,
    guidance_scale: picture.guidanceScale,
    height: picture.height,
    width: picture.width,
    init_image: picture.initImage,
    strength: picture.strength,
    ...snakeCased(picture.family),
    vae_tiles: picture.tiles,
    ranks: picture.ranks,
    threads: picture.threads,
    dtype: picture.dtype,
    engine: picture.engine,
    ...(picture.ranks === 1 ? {} : picture.parallel),
    mode: picture.mode,
    Software: `distri ${picture.version}`,
  };
  return Object.entries(texts).flatMap(([keyword, value]) =>
    value === undefined ? [] : [{ keyword, text: String(value) }],
  );
}

function batchTexts({ batch }: PictureParameters): Readonly<Record<string, number>> {
  if (batch.size === 1) return {};
  return { batch_index: batch.index, batch_size: batch.size, num_images_per_prompt: batch.imagesPerPrompt };
}

/** The three-part text of AUTOMATIC1111's stable-diffusion-webui (modules/infotext_utils.py reads it). */
function webParameters(picture: PictureParameters): string {
  const values: Readonly<Record<string, string | number | bigint | undefined>> = {
    Steps: picture.steps,
    Sampler: picture.scheduler,
    'CFG scale': picture.guidanceScale,
    Seed: picture.seed,
    Size: `${picture.width}x${picture.height}`,
    Model: quoted(picture.model),
    'Denoising strength': picture.strength,
    Eta: picture.eta === 0 ? undefined : picture.eta,
    'Batch size': picture.batch.size === 1 ? undefined : picture.batch.size,
    'Batch pos': picture.batch.size === 1 ? undefined : picture.batch.index,
    RNG: picture.rng === 'philox' ? 'NV' : 'CPU',
    Ranks: picture.ranks,
    Mode: quoted(picture.mode),
    Version: `distri ${picture.version}`,
  };
  const negative = picture.negativePrompt === '' ? [] : [`Negative prompt: ${picture.negativePrompt}`];
  const list = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  );
  return [picture.prompt, ...negative, list.join(', ')].join('\n');
}

/** The reader splits at commas and colons outside of quotes. */
function quoted(value: string): string {
  return /[,:\n"]/.test(value) ? JSON.stringify(value) : value;
}
