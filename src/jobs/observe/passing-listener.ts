import type { Phase, ProgressListener } from '../../ranks/progress.js';
import type { Tensor } from '../../tensor/tensor.js';

/** Passes progress on; what looks at it on the way extends this. */
export class PassingListener implements ProgressListener {
  readonly #next: ProgressListener;

  constructor(next: ProgressListener) {
    this.#next = next;
  }

  phase(name: Phase, event: 'start' | 'end'): void {
    this.#next.phase(name, event);
  }

  step(step: number, steps: number, latents?: Tensor<'float32'>): void {
    this.#next.step(step, steps, latents);
  }

  note(line: string): void {
    this.#next.note?.(line);
  }

  place(where: string): void {
    this.#next.place?.(where);
  }
}
