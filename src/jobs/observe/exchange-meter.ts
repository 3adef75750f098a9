import type { CommunicatorStatistics } from '../../engine/addon.js';
import type { Phase, ProgressListener } from '../../pipelines/request.js';

/** Notes what each denoising step exchanged with the peers while it passes progress on. */
export class ExchangeMeter implements ProgressListener {
  private readonly exchanged: CommunicatorStatistics[] = [];
  private last: CommunicatorStatistics | undefined;

  /** `statistics` are the totals so far, undefined on a rank without peers. */
  constructor(
    private readonly statistics: () => CommunicatorStatistics | undefined,
    private readonly listener: ProgressListener,
  ) {}

  /** One per step; empty on a rank without peers. */
  get steps(): readonly CommunicatorStatistics[] {
    return this.exchanged;
  }

  phase(name: Phase, event: 'start' | 'end'): void {
    if (name === 'denoise' && event === 'start') this.last = this.statistics();
    this.listener.phase(name, event);
  }

  step(step: number, steps: number): void {
    const total = this.statistics();
    if (total !== undefined && this.last !== undefined) this.exchanged.push(subtract(total, this.last));
    this.last = total;
    this.listener.step(step, steps);
  }

  place(where: string): void {
    this.listener.place?.(where);
  }
}

function subtract(total: CommunicatorStatistics, before: CommunicatorStatistics): CommunicatorStatistics {
  return {
    bytesPublished: total.bytesPublished - before.bytesPublished,
    bytesFetched: total.bytesFetched - before.bytesFetched,
    waited: total.waited - before.waited,
  };
}
