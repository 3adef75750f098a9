import type { MetricWeights } from './networks.js';

export interface StudyOptions {
  readonly images: number;
  readonly steps: number;
  readonly ranks: readonly number[];
  readonly warmups: readonly number[];
  readonly work: string;
  readonly output: string;
  /** What the seconds were measured on. */
  readonly machine: string;
  readonly weights: MetricWeights;
  /** A folder; only of PixArt. */
  readonly model: string | undefined;
}
