import { mean } from '../../base/numbers.js';
import type { DrawReport } from '../draw.js';

/**
 * What a call of the pipeline consists of on one rank, in milliseconds; before, in and after the loop make up
 * the end to end.
 */
export interface PhaseTimes {
  /**
   * From the begin of the rank's job to that of the denoising: models where it loads them, the text, the
   * picture to begin with.
   */
  readonly beforeLoop: number;
  readonly loop: number;
  readonly iteration0: number;
  /** The mean of the iterations after the first; undefined where there are none. */
  readonly otherIterations: number | undefined;
  /** From the end of the denoising to the rank's result: the VAE, and the first rank's files. */
  readonly afterLoop: number;
  readonly endToEnd: number;
}

export function phaseTimes({ timings, endToEnd }: DrawReport): PhaseTimes {
  const { starts, phases, steps } = timings;
  const [iteration0 = 0, ...others] = steps;
  const beforeLoop = starts.denoise as number;
  const loop = phases.denoise as number;
  return {
    beforeLoop,
    loop,
    iteration0,
    otherIterations: others.length === 0 ? undefined : mean(others),
    afterLoop: endToEnd - beforeLoop - loop,
    endToEnd,
  };
}

/** The rank that took longest, end to end; `ranks` are all of them. */
export function slowestRank(ranks: readonly Pick<PhaseTimes, 'endToEnd'>[]): number {
  const slowest = Math.max(...ranks.map(({ endToEnd }) => endToEnd));
  return ranks.findIndex(({ endToEnd }) => endToEnd === slowest);
}

/** The mean of each; `calls` must not be empty, and have as many iterations as each other. */
export function meanPhaseTimes(calls: readonly PhaseTimes[]): PhaseTimes {
  const meanOf = (name: Exclude<keyof PhaseTimes, 'otherIterations'>) =>
    mean(calls.map((call) => call[name]));
  const others = calls.flatMap(({ otherIterations }) => otherIterations ?? []);
  return {
    beforeLoop: meanOf('beforeLoop'),
    loop: meanOf('loop'),
    iteration0: meanOf('iteration0'),
    otherIterations: others.length === 0 ? undefined : mean(others),
    afterLoop: meanOf('afterLoop'),
    endToEnd: meanOf('endToEnd'),
  };
}
