import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { DistriError } from '../runtime/errors.js';
import { unlessInterrupted } from '../runtime/interruption.js';
import type { FeatureSet } from './feature-set.js';

/** One computation of a thread of its own. */
export interface DistanceJob {
  readonly name: 'fid' | 'kid';
  readonly a: FeatureSet;
  readonly b: FeatureSet;
}

/**
 * The Fréchet (FID) or kernel (KID) distance of two feature sets, on another thread: with 5,000 images it takes seconds.
 * Fewer than two images on a side are a `dataset` error.
 */
export async function featureDistance(job: DistanceJob, interruption: AbortSignal): Promise<number> {
  const { name, a, b } = job;
  if (a.count < 2 || b.count < 2) {
    throw new DistriError(
      'dataset',
      `${name.toUpperCase()} needs two images or more on each side, here are ${a.count} and ${b.count}`,
    );
  }
  const worker = new Worker(new URL('./distance-worker.js', import.meta.url), { workerData: job });
  try {
    const [distance] = await unlessInterrupted(interruption, once(worker, 'message'));
    return distance as number;
  } finally {
    await worker.terminate();
  }
}
