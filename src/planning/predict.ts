import { sum } from '../base/numbers.js';
import { type ComputeKind, computeKinds } from '../graph/operators.js';
import type { OperationCost } from '../graph/passes/cost.js';
import type { Exchange } from './exchanges.js';
import type { MachineProfile } from './profile.js';
import type { PlannedStep } from './rank-work.js';

/** Seconds that an amount of work takes, as it was measured. */
interface Point {
  readonly work: number;
  readonly seconds: number;
}

/** Predicts seconds from what was measured of a machine. */
export class Predictor {
  private readonly curves: ReadonlyMap<ComputeKind, readonly Point[]>;
  private readonly copies: readonly Point[];

  constructor(private readonly profile: MachineProfile) {
    const curve = (kind: ComputeKind) => profile.probes.filter((probe) => probe.kind === kind);
    this.curves = new Map(computeKinds.map((kind) => [kind, curve(kind)]));
    const { ranks } = profile.setting;
    // In an all-gather every rank copies its part in and the whole out.
    this.copies = profile.gathers.map(({ bytes, time }) => ({
      work: bytes + bytes / ranks,
      seconds: time / 1e6,
    }));
  }

  /** Seconds of one step of one rank. */
  step({ costs, exchanges }: PlannedStep): number {
    return sum([
      ...costs.map((cost) => this.operation(cost)),
      ...exchanges.map((exchange) => this.exchange(exchange)),
    ]);
  }

  private operation({ kind, macs, bytes, weightBytes }: OperationCost): number {
    const work = kind === 'other' ? bytes : macs;
    const computing = Math.max(this.starting, interpolate(this.curves.get(kind) ?? [], work));
    return kind === 'other' ? computing : computing + this.reading(weightBytes);
  }

  /**
   * Weights come from main memory at every step: a model is larger than caches. What was measured of products
   * had them in caches.
   */
  private reading(bytes: number): number {
    const largest = this.curves.get('other')?.at(-1);
    return largest === undefined ? 0 : (largest.seconds * bytes) / largest.work;
  }

  /** Seconds that every operation takes at least. */
  private get starting(): number {
    return this.curves.get('other')?.[0]?.seconds ?? 0;
  }

  private exchange({ published, fetched, awaited }: Exchange): number {
    return interpolate(this.copies, published + fetched) + (awaited ? this.profile.barrier : 0);
  }
}

/** Between two measured amounts straight on logarithmic scales; beyond them at the rate of the last. */
export function interpolate(points: readonly Point[], work: number): number {
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return 0;
  if (work >= last.work) return (last.seconds * work) / last.work;
  if (work <= first.work) return (first.seconds * work) / first.work;
  const index = points.findIndex((point) => point.work > work);
  const [below, above] = [points[index - 1] as Point, points[index] as Point];
  const share = Math.log(work / below.work) / Math.log(above.work / below.work);
  return below.seconds * (above.seconds / below.seconds) ** share;
}
