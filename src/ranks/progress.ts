import type { Tensor } from '../tensor/tensor.js';

/** What a rank's job consists of, in order, and how people are told of it. */
export const phases = {
  load: { label: 'loading', when: 'while loading' },
  encode: { label: 'encoding the picture', when: 'while encoding the picture' },
  text: { label: 'encoding the prompt', when: 'while encoding the prompt' },
  denoise: { label: 'denoising', when: 'in the first step' },
  decode: { label: 'decoding', when: 'while decoding' },
} as const;

/**
 * A part of a rank's job: loading, encoding the picture to begin with and the prompt, denoising, decoding.
 * @useDeclaredType
 */
export type Phase = keyof typeof phases;

/** How a rank reports where it is. */
export interface ProgressListener {
  phase(name: Phase, event: 'start' | 'end'): void;
  /** After denoising step `step` (from 0) of `steps`, with the latents where this rank has them whole. */
  step(step: number, steps: number, latents?: Tensor<'float32'>): void;
  /** Something that users should know: a prompt that was cut. */
  note?(line: string): void;
  /** Before a part of a step, where a step has parts: "in step 3 of 20, patch 2 of 4, stage 1 of 4". */
  place?(where: string): void;
  /** When something within a step begins, for `--timeline`; what is returned is called when it ends. */
  span?(name: string, details: Readonly<Record<string, number>>): () => void;
}
