import type { ConfigReader } from '../base/config-reader.js';
import { squareRoot } from './arithmetic.js';
import type { Level } from './predictions.js';

const betaSchedules = ['linear', 'scaled_linear', 'squaredcos_cap_v2'] as const;
type BetaSchedule = (typeof betaSchedules)[number];

/** Public models have 1000; the limit keeps a damaged file from asking for all memory. */
const MAX_TRAIN_TIMESTEPS = 10_000;

/** The noise that a model was trained with. */
export interface NoiseSchedule {
  readonly numTrainTimesteps: number;
  readonly betaSchedule: BetaSchedule;
  /** `[numTrainTimesteps]`: the share of the image in the variance of a sample at each timestep. */
  readonly alphasCumprod: Float32Array;
  /** Whether the last timestep was changed to be pure noise. */
  readonly zeroTerminalSnr: boolean;
}

/** What a class takes for keys of betas that a configuration lacks. */
interface BetaDefaults {
  readonly schedule: BetaSchedule;
  readonly start: number;
  readonly end: number;
}

const usualBetas: BetaDefaults = { schedule: 'linear', start: 0.0001, end: 0.02 };

/** The keys that all of diffusers' discrete schedulers share: betas and what makes them. */
export function readNoiseSchedule(config: ConfigReader, defaults: BetaDefaults = usualBetas): NoiseSchedule {
  const numTrainTimesteps = config.integer('num_train_timesteps', 1000, {
    least: 2,
    most: MAX_TRAIN_TIMESTEPS,
  });
  const betaSchedule = config.choice('beta_schedule', betaSchedules, defaults.schedule);
  const zeroTerminalSnr = config.boolean('rescale_betas_zero_snr', false);
  const betas = readBetas(config, betaSchedule, numTrainTimesteps, defaults);
  const alphasCumprod = cumulativeAlphas(zeroTerminalSnr ? rescaleZeroTerminalSnr(betas) : betas);
  checkAlphas(config, zeroTerminalSnr ? alphasCumprod.subarray(0, -1) : alphasCumprod);
  return { numTrainTimesteps, betaSchedule, zeroTerminalSnr, alphasCumprod };
}

function readBetas(
  config: ConfigReader,
  schedule: BetaSchedule,
  count: number,
  defaults: BetaDefaults,
): Float32Array {
  const share = { least: 0, below: 1 };
  const trained = config.numbers('trained_betas', count, share);
  if (trained) return Float32Array.from(trained);
  const start = config.number('beta_start', defaults.start, share);
  const end = config.number('beta_end', defaults.end, share);
  switch (schedule) {
    case 'linear':
      return linspaceFloat32(start, end, count);
    case 'scaled_linear':
      return linspaceFloat32(Math.sqrt(start), Math.sqrt(end), count).map((root) => root * root);
    case 'squaredcos_cap_v2':
      return cosineBetas(count);
  }
}

/**
 * The share of the image at a timestep. After the last step there is none, and the image is as clean as the
 * configuration says.
 */
export type AlphaAt = (timestep: number) => number;

/** `cleanEnd` is the class's own value of `set_alpha_to_one`. */
export function readAlphas(
  config: ConfigReader,
  { alphasCumprod }: NoiseSchedule,
  cleanEnd: boolean,
): AlphaAt {
  const final = config.boolean('set_alpha_to_one', cleanEnd) ? 1 : (alphasCumprod[0] as number);
  return (timestep) => (timestep < 0 ? final : (alphasCumprod[timestep] as number));
}

/** Of the noise that a whole stochastic step adds: formula 16 of Song et al. (2020) for eta = 1. */
export function stepVariance(alpha: number, previousAlpha: number): number {
  const betas = Math.fround(Math.fround(1 - previousAlpha) / Math.fround(1 - alpha));
  return betas * Math.fround(1 - Math.fround(alpha / previousAlpha));
}

/** Of image and noise in a sample, their squares together 1. */
export function levelOfAlpha(alpha: number): Level {
  return { alpha: squareRoot(alpha), sigma: squareRoot(1 - alpha) };
}

/** The smallest normal float32: with less of the image the noise level over 1 is infinite. */
const LEAST_ALPHA = 2 ** -126;

function checkAlphas(config: ConfigReader, alphas: Float32Array): void {
  const lost = alphas.findIndex((alpha) => !(alpha >= LEAST_ALPHA));
  if (lost < 0) return;
  throw config.invalid(
    `its betas leave nothing of a picture at timestep ${lost}, so no step would be finite`,
  );
}

/** `torch.linspace` in float32: the first half is counted from the start, the second from the end. */
export function linspaceFloat32(start: number, end: number, count: number): Float32Array {
  const first = Math.fround(start);
  if (count === 1) return Float32Array.of(first);
  const last = Math.fround(end);
  const step = Math.fround(Math.fround(last - first) / (count - 1));
  const halfway = Math.floor(count / 2);
  // A single rounding of product and sum: torch's kernel is compiled to fused multiply-add.
  return Float32Array.from({ length: count }, (_, i) =>
    i < halfway ? first + step * i : last - step * (count - i - 1),
  );
}

/** The cosine schedule of Nichol and Dhariwal (2021), diffusers' `betas_for_alpha_bar`. */
function cosineBetas(count: number): Float32Array {
  const alphaBar = (time: number) => Math.cos((((time + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  return Float32Array.from({ length: count }, (_, i) =>
    Math.min(1 - alphaBar((i + 1) / count) / alphaBar(i / count), 0.999),
  );
}

/** Products of 1 - beta, accumulated in double as torch does for float32. */
function cumulativeAlphas(betas: Float32Array): Float32Array {
  let product = 1;
  return betas.map((beta) => {
    product *= Math.fround(1 - beta);
    return product;
  });
}

/** Algorithm 1 of Lin et al. (2023): the last timestep becomes pure noise, the first stays as it is. */
function rescaleZeroTerminalSnr(betas: Float32Array): Float32Array {
  const roots = cumulativeAlphas(betas).map(Math.sqrt);
  const first = roots[0] as number;
  const last = roots.at(-1) as number;
  const scale = Math.fround(first / Math.fround(first - last));
  const alphasBar = roots.map((root) => Math.fround(Math.fround(root - last) * scale) ** 2);
  return alphasBar.map(
    (alphaBar, i) => 1 - Math.fround(i === 0 ? alphaBar : alphaBar / (alphasBar[i - 1] as number)),
  );
}
