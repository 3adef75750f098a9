import type { Scheduler } from '../../schedulers/scheduler.js';
import type { Generator } from '../../tensor/generator.js';
import { float32, int64, type Shape, type Tensor } from '../../tensor/tensor.js';
import type { LatentRecorder, Recorder } from './recorder.js';

/** The noise that a request begins with, as noisy as the scheduler's first step wants it. */
export function initialLatents(
  shape: Shape,
  scheduler: Scheduler,
  generator: Generator,
  record: Recorder,
  recordLatents: LatentRecorder,
): Tensor<'float32'> {
  const noise = generator.randn(shape);
  const latents = float32(
    noise.shape,
    noise.data.map((value) => value * scheduler.initNoiseSigma),
  );
  record('init_noise', () => noise);
  recordLatents('init_latents', () => latents);
  return latents;
}

/** Latents of a picture with the noise that belongs to a timestep. */
export function noisyLatents(
  original: Tensor<'float32'>,
  scheduler: Scheduler,
  timestep: number,
  generator: Generator,
  record: Recorder,
  recordLatents: LatentRecorder,
): Tensor<'float32'> {
  const noise = generator.randn(original.shape);
  const latents = float32(original.shape, scheduler.addNoise(original.data, noise.data, timestep));
  record('latent_noise', () => noise);
  recordLatents('init_latents', () => latents);
  return latents;
}

/** Records all timesteps, of which a picture as a start takes the last ones only. */
export function recordSchedule(scheduler: Scheduler, record: Recorder): void {
  record('timesteps', () => timestepTensor(scheduler));
  const { sigmas } = scheduler;
  if (sigmas) record('sigmas', () => float32([sigmas.length], sigmas.slice()));
}

function timestepTensor({ timesteps, timestepsDtype }: Scheduler): Tensor {
  const shape = [timesteps.length];
  return timestepsDtype === 'int64'
    ? int64(
        shape,
        BigInt64Array.from(timesteps, (value) => BigInt(value)),
      )
    : float32(shape, Float32Array.from(timesteps));
}
