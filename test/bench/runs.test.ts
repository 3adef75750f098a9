import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { deviceChoices, deviceText } from '../../src/engine/device.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'distri-bench-test-'));
after(() => rm(folder, { recursive: true }));

/** What a program prints, which is run in an empty folder with an empty cache. */
function run(program: string, options: Readonly<Record<string, string>>, ...more: readonly string[]): string {
  const argv = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'dist', 'bench', program), ...more, ...argv],
    { encoding: 'utf8', cwd: folder, env: { ...process.env, DISTRI_CACHE: join(folder, 'cache') } },
  );
  assert.equal(status, 0, stderr);
  return stdout;
}

const tiny = { random_weights: 'tiny-shapes', image_size: '64' };

describe('the benchmark of', () => {
  it('steps compares standard operators, one rank, two, and commands', () => {
    const printed = run('unet-step/main.js', { ...tiny, rounds: '1', ranks: '2' });
    assert.match(printed, /^standard operators, onnxruntime-node, 2 threads +[\d.]+ +[\d.]+$/m);
    assert.match(printed, /^distri, 1 rank x 2 threads, fp32 by onnxruntime +[\d.]+ +[\d.]+$/m);
    assert.match(printed, /^distri, 1 rank x 2 threads, bf16 by lowered +[\d.]+ +[\d.]+$/m);
    assert.match(printed, /^distri N ranks \/ 1 rank: +[\d.]+ \(best\), [\d.]+ \(median of rounds\)$/m);
    assert.match(printed, /^bf16 by commands \/ 1 rank: +[\d.]+ \(best\), [\d.]+ \(median of rounds\)$/m);
  });

  it('pictures has a row for every engine and element type', () => {
    const printed = run('picture/main.js', { image_size: '64', steps: '2', rounds: '1' });
    for (const device of deviceChoices) {
      assert.match(printed, new RegExp(`^${deviceText(device)}(?: +\\d+\\.\\d{3}){6}$`, 'm'));
    }
  });

  it('this checkout against another reads the steps of both', () => {
    const options = { what: 'steps', models: 'embedded:64', ranks: '2', rounds: '1', steps: '1' };
    const printed = run('against/main.js', options, root);
    assert.match(printed, /^step of embedded, 64 px, 2 ranks(?: +\d+\.\d){4}(?: +\d\.\d{3}){2}$/m);
  });

  it('everything that ranks can do has a row for each way, and says what is refused', () => {
    const csv = join(folder, 'table.csv');
    const printed = run('dit/sweep.js', { ...tiny, ranks: '2,3', steps: '2', test_times: '1', csv });
    const ways = [...printed.matchAll(/^\| (\d ranks?, [^|]+) \| \d/gm)].map(([, way]) => way);
    assert.deepEqual(ways, [
      '2 ranks, split batch',
      '2 ranks, patch, whole batch',
      '2 ranks, tensor, whole batch',
      '2 ranks, naive_patch, whole batch',
      '3 ranks, tensor, whole batch',
      '3 ranks, naive_patch, whole batch',
    ]);
    assert.match(printed, /^- 3 ranks, patch, whole batch: .*\d/m);
  });

  it('the likeness of transformers writes its page where it is told to, and draws nothing twice', async () => {
    const options = { images: '2', steps: '2', ranks: '2', warmups: '1', output: 'page', work: 'drawn' };
    const page = join(folder, 'page', 'quality-pixart.md');
    assert.equal(run('study/main.js', { of: 'pixart', ...options }), `${page}\n`);
    const text = await readFile(page, 'utf8');
    for (const mode of ['sequence', 'tensor', 'pipefusion', 'patch', 'naive_patch']) {
      assert.match(text, new RegExp(`^\\| ${mode} \\| 1? \\| [\\d.e-]+ \\|$`, 'm'));
    }
    const picture = join(folder, 'drawn', 'pictures', 'tensor-2', '0001.png');
    const { mtimeMs } = await stat(picture);
    run('study/main.js', { of: 'pixart', ...options });
    assert.equal((await stat(picture)).mtimeMs, mtimeMs);
  });
});
