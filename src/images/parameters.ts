import type { PngText } from './png.js';

/** How a picture was made, for the texts of its PNG. */
interface PictureParameters {
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly model: string;
  readonly seed: bigint;
  readonly rng: string;
  readonly steps: number;
  readonly scheduler: string;
  readonly guidanceScale: number;
  readonly height: number;
  readonly width: number;
  readonly ranks: number;
  /** Such as "displaced patch, corrected_async_gn, 5 synchronous steps". */
  readonly mode: string;
  readonly version: string;
}

/** One text for each parameter, and all of them as `parameters` in the style that web interfaces read. */
export function describePicture(picture: PictureParameters): PngText[] {
  const texts: Readonly<Record<string, string>> = {
    parameters: webParameters(picture),
    prompt: picture.prompt,
    negative_prompt: picture.negativePrompt,
    model: picture.model,
    seed: String(picture.seed),
    rng: picture.rng,
    num_inference_steps: String(picture.steps),
    scheduler: picture.scheduler,
    guidance_scale: String(picture.guidanceScale),
    height: String(picture.height),
    width: String(picture.width),
    ranks: String(picture.ranks),
    mode: picture.mode,
    Software: `distri ${picture.version}`,
  };
  return Object.entries(texts).map(([keyword, text]) => ({ keyword, text }));
}

/** The three-part text of AUTOMATIC1111's stable-diffusion-webui (modules/infotext_utils.py reads it). */
function webParameters(picture: PictureParameters): string {
  const values: Readonly<Record<string, string | number | bigint>> = {
    Steps: picture.steps,
    Sampler: picture.scheduler,
    'CFG scale': picture.guidanceScale,
    Seed: picture.seed,
    Size: `${picture.width}x${picture.height}`,
    Model: quoted(picture.model),
    RNG: picture.rng === 'philox' ? 'NV' : 'CPU',
    Ranks: picture.ranks,
    Mode: quoted(picture.mode),
    Version: `distri ${picture.version}`,
  };
  const negative = picture.negativePrompt === '' ? [] : [`Negative prompt: ${picture.negativePrompt}`];
  const list = Object.entries(values).map(([name, value]) => `${name}: ${value}`);
  return [picture.prompt, ...negative, list.join(', ')].join('\n');
}

/** The reader splits at commas and colons outside of quotes. */
function quoted(value: string): string {
  return /[,:\n"]/.test(value) ? JSON.stringify(value) : value;
}
