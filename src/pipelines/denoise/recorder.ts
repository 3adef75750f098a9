import type { NoiseModel } from '../../models/noise-model.js';
import { float32, type Tensor } from '../../tensor/tensor.js';

/** Keeps a tensor under this name where the request asks for a trace. */
export type Recorder = (name: string, make: () => Tensor) => void;

/** The same for latents and predictions. */
export type LatentRecorder = (name: string, make: () => Tensor<'float32'>) => void;

/** The name in traces of what a step made: `latents_003`. */
export function stepName(kind: string, step: number): string {
  return `${kind}_${String(step).padStart(3, '0')}`;
}

/** Keeps latents as the model's pipeline in diffusers has them between steps. */
export function recordPacked(record: Recorder, { packed }: Pick<NoiseModel, 'packed'>): LatentRecorder {
  return (name, make) => record(name, () => (packed ? packed(make()) : make()));
}

/**
 * Keeps what a step predicted, `[unconditional…, conditional…]`; where the pipeline in diffusers asks for the
 * two one after another, each by itself.
 */
export function recordNoise(
  record: Recorder,
  { packed }: Pick<NoiseModel, 'packed'>,
  step: number,
  { shape, data }: Tensor<'float32'>,
  guided: boolean,
): void {
  if (!packed) {
    record(stepName('noise_pred', step), () => float32(shape, data.slice()));
    return;
  }
  const images = (shape[0] as number) / (guided ? 2 : 1);
  const half = data.length / (guided ? 2 : 1);
  const part = (start: number) => packed(float32(shape.with(0, images), data.slice(start, start + half)));
  if (guided) record(stepName('noise_pred_negative', step), () => part(0));
  record(stepName('noise_pred', step), () => part(data.length - half));
}
