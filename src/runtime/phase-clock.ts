import type { Phase, ProgressListener } from '../pipelines/request.js';

/** How long a rank's phases took, in milliseconds. A phase that did not take place is absent. */
export interface Timings {
  readonly phases: Readonly<Partial<Record<Phase, number>>>;
  /** One per denoising step. */
  readonly steps: readonly number[];
}

/** Measures phases and steps while it passes progress on. */
export class PhaseClock implements ProgressListener {
  private readonly started = new Map<Phase, number>();
  private readonly phases: Partial<Record<Phase, number>> = {};
  private readonly steps: number[] = [];
  private lastStep = 0;

  constructor(private readonly listener: ProgressListener) {}

  get timings(): Timings {
    return { phases: this.phases, steps: this.steps };
  }

  phase(name: Phase, event: 'start' | 'end'): void {
    const now = performance.now();
    if (event === 'start') {
      this.started.set(name, now);
      this.lastStep = now;
    } else {
      this.phases[name] = now - (this.started.get(name) ?? now);
    }
    this.listener.phase(name, event);
  }

  step(step: number, steps: number): void {
    const now = performance.now();
    this.steps.push(now - this.lastStep);
    this.lastStep = now;
    this.listener.step(step, steps);
  }

  place(where: string): void {
    this.listener.place?.(where);
  }
}
