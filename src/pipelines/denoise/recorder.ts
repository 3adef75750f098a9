import type { Tensor } from '../../tensor/tensor.js';

/** Keeps a tensor under this name where the request asks for a trace. */
export type Recorder = (name: string, make: () => Tensor) => void;

/** The name in traces of what a step made: `latents_003`. */
export function stepName(kind: string, step: number): string {
  return `${kind}_${String(step).padStart(3, '0')}`;
}
