import type { Phase, ProgressListener } from '../../pipelines/request.js';

/** How long a rank's phases took, in milliseconds. A phase that did not take place is absent. */
export interface Timings {
  /** When each phase began, since the rank began its job. */
  readonly starts: Readonly<Partial<Record<Phase, number>>>;
  readonly phases: Readonly<Partial<Record<Phase, number>>>;
  /** One per denoising step. */
  readonly steps: readonly number[];
}

/** Measures phases and steps of a job, which begins now, while it passes progress on. */
export class PhaseClock implements ProgressListener {
  private readonly begun = performance.now();
  private readonly starts: Partial<Record<Phase, number>> = {};
  private readonly phases: Partial<Record<Phase, number>> = {};
  private readonly steps: number[] = [];
  private lastStep = 0;

  constructor(private readonly listener: ProgressListener) {}

  /** Milliseconds since the job began. */
  get elapsed(): number {
    return performance.now() - this.begun;
  }

  get timings(): Timings {
    return { starts: this.starts, phases: this.phases, steps: this.steps };
  }

  phase(name: Phase, event: 'start' | 'end'): void {
    const now = this.elapsed;
    if (event === 'start') {
      this.starts[name] = now;
      this.lastStep = now;
    } else {
      this.phases[name] = now - (this.starts[name] ?? now);
    }
    this.listener.phase(name, event);
  }

  step(step: number, steps: number): void {
    const now = this.elapsed;
    this.steps.push(now - this.lastStep);
    this.lastStep = now;
    this.listener.step(step, steps);
  }

  place(where: string): void {
    this.listener.place?.(where);
  }
}
