import type { SchedulerConfig } from './config.js';

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

/** The keys that all of diffusers' discrete schedulers share: betas and what makes them. */
export function readNoiseSchedule(config: SchedulerConfig): NoiseSchedule {
  const numTrainTimesteps = config.integer('num_train_timesteps', 1000, 2, MAX_TRAIN_TIMESTEPS);
  const betaSchedule = config.choice('beta_schedule', betaSchedules, 'linear');
  const zeroTerminalSnr = config.boolean('rescale_betas_zero_snr', false);
  const betas = readBetas(config, betaSchedule, numTrainTimesteps);
  return {
    numTrainTimesteps,
    betaSchedule,
    zeroTerminalSnr,
    alphasCumprod: cumulativeAlphas(zeroTerminalSnr ? rescaleZeroTerminalSnr(betas) : betas),
  };
}

function readBetas(config: SchedulerConfig, schedule: BetaSchedule, count: number): Float32Array {
  const trained = config.fractions('trained_betas', count);
  if (trained) return Float32Array.from(trained);
  const start = config.number('beta_start', 0.0001, 0, 1);
  const end = config.number('beta_end', 0.02, 0, 1);
  switch (schedule) {
    case 'linear':
      return linspaceFloat32(start, end, count);
    case 'scaled_linear':
      return linspaceFloat32(Math.sqrt(start), Math.sqrt(end), count).map((root) => root * root);
    case 'squaredcos_cap_v2':
      return cosineBetas(count);
  }
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
