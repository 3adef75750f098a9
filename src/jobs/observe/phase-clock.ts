import type { Phase } from '../../ranks/progress.js';
import type { Tensor } from '../../tensor/tensor.js';
import { PassingListener } from './passing-listener.js';

/** How long a rank's phases took, in milliseconds. A phase that did not take place is absent. */
export interface Timings {
  /** When each phase began, since the rank began its job. */
  readonly starts: Readonly<Partial<Record<Phase, number>>>;
  /** How long each phase took. */
  readonly phases: Readonly<Partial<Record<Phase, number>>>;
  /** One per denoising step. */
  readonly steps: readonly number[];
}

/** Measures phases and steps of a job, which begins now, while it passes progress on. */
export class PhaseClock extends PassingListener {
  private readonly begun = performance.now();
  private readonly starts: Partial<Record<Phase, number>> = {};
  private readonly phases: Partial<Record<Phase, number>> = {};
  private readonly steps: number[] = [];
  private lastStep = 0;

  /** Milliseconds since the job began. */
  get elapsed(): number {
    return performance.now() - this.begun;
  }

  get timings(): Timings {
    return { starts: this.starts, phases: this.phases, steps: this.steps };
  }

  override phase(name: Phase, event: 'start' | 'end'): void {
    const now = this.elapsed;
    if (event === 'start') {
      this.starts[name] = now;
      this.lastStep = now;
    } else {
      this.phases[name] = now - (this.starts[name] ?? now);
    }
    super.phase(name, event);
  }

  override step(step: number, steps: number, latents?: Tensor<'float32'>): void {
    const now = this.elapsed;
    this.steps.push(now - this.lastStep);
    this.lastStep = now;
    super.step(step, steps, latents);
  }
}
