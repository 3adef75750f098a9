/**
 * Seconds that the Fréchet distance of two sets of features takes, beside the covariances of which are most of it.
 *
 *   node dist/bench/frechet/main.js [--images 5000] [--dimension 2048]
 */
import { parseArgs } from 'node:util';
import { featureDistance } from '../../src/metrics/distances.js';
import type { FeatureSet } from '../../src/metrics/feature-set.js';

const { values } = parseArgs({
  options: {
    images: { type: 'string', default: '5000' },
    dimension: { type: 'string', default: '2048' },
  },
});
const count = Number(values.images);
const dimension = Number(values.dimension);

/** Correlated features of which some are always zero, as ReLU networks make them. */
function randomFeatures(seed: number): FeatureSet {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const features = new Float32Array(count * dimension);
  for (let image = 0; image < count; image++) {
    const common = random();
    for (let i = 0; i < dimension; i++) {
      const value = (i % 7) * 0.1 * common + random() - 0.4 + seed * 0.01;
      features[image * dimension + i] = i % 50 === 0 ? 0 : Math.max(0, value);
    }
  }
  return { values: features, count, dimension };
}

const [a, b] = [randomFeatures(1), randomFeatures(2)];
const start = performance.now();
const { signal } = new AbortController();
const distance = await featureDistance({ name: 'fid', a, b }, signal);
const seconds = (performance.now() - start) / 1000;
process.stdout.write(`2 x ${count} x ${dimension}: distance ${distance}, ${seconds.toFixed(1)} s\n`);
