import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { DistriError } from '../base/errors.js';
import { unlessInterrupted } from '../base/interruption.js';
import type { FeatureSet } from './feature-set.js';
import type { Moments } from './frechet.js';

/** A distance of two feature sets. */
interface Distance {
  readonly name: 'fid' | 'kid';
  readonly a: FeatureSet;
  readonly b: FeatureSet;
}

/** One computation of a thread of its own. */
export type DistanceJob =
  | { readonly kind: 'moments'; readonly features: FeatureSet }
  | { readonly kind: 'frechet'; readonly a: Moments; readonly b: Moments }
  | { readonly kind: 'kernel'; readonly a: FeatureSet; readonly b: FeatureSet };

/**
 * The Fréchet (FID) or kernel (KID) distance of two feature sets, on other threads: with 5,000 images it
 * takes seconds. Fewer than two images on a side are a `dataset` error.
 */
export async function featureDistance({ name, a, b }: Distance, interruption: AbortSignal): Promise<number> {
  if (a.count < 2 || b.count < 2) {
    throw new DistriError(
      'dataset',
      `${name.toUpperCase()} needs two images or more on each side, here are ${a.count} and ${b.count}`,
    );
  }
  if (name === 'kid') return onThread<number>({ kind: 'kernel', a, b }, interruption);
  const [first, second] = await Promise.all(
    [a, b].map((features) => onThread<Moments>({ kind: 'moments', features }, interruption)),
  );
  return onThread<number>({ kind: 'frechet', a: first as Moments, b: second as Moments }, interruption);
}

async function onThread<T>(job: DistanceJob, interruption: AbortSignal): Promise<T> {
  const worker = new Worker(new URL('./distance-worker.js', import.meta.url), { workerData: job });
  try {
    const [result] = await unlessInterrupted(interruption, once(worker, 'message'));
    return result as T;
  } finally {
    await worker.terminate();
  }
}
