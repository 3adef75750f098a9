import { featureDistance } from '../../src/metrics/distances.js';
import type { FeatureSet } from '../../src/metrics/feature-set.js';
import { integer, option, runBench } from '../bench.js';

const options = {
  images: option(integer(2), 'images of each set', 5000),
  dimension: option(integer(), 'features of an image', 2048),
};

await runBench(
  {
    name: 'frechet',
    text:
      'Seconds that the Fréchet distance of two sets of features takes, of which the two covariances are ' +
      'most. Features are made up.',
    options,
  },
  async ({ images, dimension }, signal) => {
    const [a, b] = [randomFeatures(1, images, dimension), randomFeatures(2, images, dimension)];
    const start = performance.now();
    const distance = await featureDistance({ name: 'fid', a, b }, signal);
    const seconds = (performance.now() - start) / 1000;
    console.log(`2 x ${images} x ${dimension}: distance ${distance}, ${seconds.toFixed(1)} s`);
  },
);

/** Correlated features of which some are always zero, as ReLU networks make them. */
function randomFeatures(seed: number, count: number, dimension: number): FeatureSet {
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
