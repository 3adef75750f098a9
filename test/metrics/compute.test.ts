import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DistriError } from '../../src/base/errors.js';
import {
  compareFolders,
  type Metrics,
  type MetricsRequest,
  type NetworkLoaders,
} from '../../src/metrics/compute.js';
import { distanceOfMoments, moments } from '../../src/metrics/frechet.js';
import { golden } from './support.js';

/** Networks whose results can be told by hand: the mean difference, and the first pixels as features. */
class SimpleNetworks implements NetworkLoaders {
  readonly batches: number[] = [];
  released = 0;

  async lpips() {
    return {
      distance: async (a: Float32Array, b: Float32Array, height: number, width: number) => {
        assert.equal(a.length, 3 * height * width);
        return a.reduce((sum, value, i) => sum + Math.abs(value - (b[i] as number)), 0) / a.length;
      },
      release: async () => void this.released++,
    };
  }

  async inception() {
    return {
      features: async (pixels: Float32Array, batch: number) => {
        this.batches.push(batch);
        const features = new Float32Array(batch * 2048);
        for (let image = 0; image < batch; image++) {
          const start = image * 299 * 299 * 3;
          features.set(pixels.subarray(start, start + 2048), image * 2048);
        }
        return features;
      },
      release: async () => void this.released++,
    };
  }
}

const request: MetricsRequest = {
  folders: [golden('uniform0'), golden('uniform1')],
  metrics: ['psnr', 'lpips', 'fid', 'kid'],
  groundTruth: false,
  strict: false,
  pairsPerBatch: 64,
  imagesPerBatch: 3,
  workers: 2,
};

interface Observed {
  readonly metrics: Metrics;
  readonly lines: readonly string[];
}

async function compute(changes: Partial<MetricsRequest>, networks: NetworkLoaders): Promise<Observed> {
  const lines: string[] = [];
  const observer = {
    progress: () => {},
    report: (line: string) => void lines.push(line),
    note: (line: string) => void lines.push(line),
  };
  const { signal } = new AbortController();
  const metrics = await compareFolders({ ...request, ...changes }, networks, observer, signal);
  return { metrics, lines };
}

test('all images go through the networks in batches, and both networks are released', async () => {
  const networks = new SimpleNetworks();
  const { metrics, lines } = await compute({}, networks);
  assert.deepEqual(networks.batches, [3, 2, 3, 2]);
  assert.equal(networks.released, 2);
  assert.deepEqual(metrics.problems, []);
  assert.deepEqual(metrics.images, [5, 5]);
  assert.equal(metrics.identical, 1);
  assert.deepEqual([metrics.psnr?.pairs, metrics.lpips?.pairs], [4, 5]);
  assert.equal(metrics.pairs[4]?.lpips, 0);
  assert.ok((metrics.pairs[1]?.lpips ?? 0) > 0.001);
  assert.ok((metrics.fid ?? 0) > 1 && Number.isFinite(metrics.kid));
  assert.ok(lines.includes(`Found 5 images in the folder ${golden('uniform0')}`));
});

test('the distance does not depend on batches', async () => {
  const [one, all] = [new SimpleNetworks(), new SimpleNetworks()];
  const first = await compute({ metrics: ['fid'], imagesPerBatch: 1, workers: 1 }, one);
  const second = await compute({ metrics: ['fid'], imagesPerBatch: 16, workers: 8 }, all);
  assert.deepEqual([one.batches.length, all.batches.length], [10, 2]);
  assert.equal(first.metrics.fid, second.metrics.fid);
});

test('a network that is missing or fails is reported, and the other metrics are there', async () => {
  const networks = new SimpleNetworks();
  const missing = () => Promise.reject(new DistriError('checkpoint', 'no weights'));
  const withoutLpips = await compute({}, { lpips: missing, inception: () => networks.inception() });
  assert.deepEqual(
    withoutLpips.metrics.problems.map(({ message }) => message),
    ['no weights'],
  );
  assert.ok(withoutLpips.metrics.psnr && withoutLpips.metrics.fid);
  assert.equal(withoutLpips.metrics.lpips, undefined);

  const failing = async () => ({
    ...(await networks.inception()),
    features: () => Promise.reject(new Error('no memory')),
  });
  const withoutFeatures = await compute({}, { lpips: () => networks.lpips(), inception: failing });
  assert.deepEqual(
    withoutFeatures.metrics.problems.map(({ message }) => message),
    ['no memory'],
  );
  assert.ok(withoutFeatures.metrics.psnr && withoutFeatures.metrics.lpips);
  await assert.rejects(compute({ strict: true }, { lpips: missing, inception: failing }), /no weights/);
});

test('features leave out a file that cannot be read, and name it', async (t: TestContext) => {
  const folder = await mkdtemp(join(tmpdir(), 'distri-metrics-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'a.png'), 'no image');
  const { metrics } = await compute(
    { folders: [request.folders[0], folder], metrics: ['fid'] },
    new SimpleNetworks(),
  );
  const [first, second] = metrics.problems.map(({ message }) => message);
  assert.match(first ?? '', /a\.png: not an image that can be read/);
  assert.match(second ?? '', /FID needs two images or more on each side, here are 5 and 0/);
});

test('two images on each side are enough', () => {
  const set = { values: Float32Array.of(1, 2, 3, 5), count: 2, dimension: 2 };
  // Covariances are [[2, 3], [3, 4.5]] on both sides, means differ by 3 in the first.
  const moved = { ...set, values: Float32Array.of(4, 2, 6, 5) };
  assert.ok(Math.abs(distanceOfMoments(moments(set), moments(moved)) - 9) < 1e-9);
});
