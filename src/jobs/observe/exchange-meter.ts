import type { CommunicatorStatistics } from '../../engine/addon.js';
import type { Phase, ProgressListener } from '../../ranks/progress.js';
import type { Tensor } from '../../tensor/tensor.js';
import { PassingListener } from './passing-listener.js';

/** Notes what each denoising step exchanged with the peers while it passes progress on. */
export class ExchangeMeter extends PassingListener {
  private readonly exchanged: CommunicatorStatistics[] = [];
  private last: CommunicatorStatistics | undefined;

  /** `statistics` are the totals so far, undefined on a rank without peers. */
  constructor(
    private readonly statistics: () => CommunicatorStatistics | undefined,
    next: ProgressListener,
  ) {
    super(next);
  }

  /** One per step; empty on a rank without peers. */
  get steps(): readonly CommunicatorStatistics[] {
    return this.exchanged;
  }

  override phase(name: Phase, event: 'start' | 'end'): void {
    if (name === 'denoise' && event === 'start') this.last = this.statistics();
    super.phase(name, event);
  }

  override step(step: number, steps: number, latents?: Tensor<'float32'>): void {
    const total = this.statistics();
    if (total !== undefined && this.last !== undefined) this.exchanged.push(subtract(total, this.last));
    this.last = total;
    super.step(step, steps, latents);
  }
}

function subtract(total: CommunicatorStatistics, before: CommunicatorStatistics): CommunicatorStatistics {
  return {
    bytesPublished: total.bytesPublished - before.bytesPublished,
    bytesFetched: total.bytesFetched - before.bytesFetched,
    waited: total.waited - before.waited,
  };
}
