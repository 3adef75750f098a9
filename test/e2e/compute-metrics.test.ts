import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import sharp from 'sharp';
import { alexNetShapes } from '../../src/metrics/networks/alexnet-lpips.js';
import { inceptionShapesWithoutScale, writeGenerated } from '../metrics/generated-weights.js';
import { cases, golden } from '../metrics/support.js';
import { Cli, type Ended } from './cli.js';

async function metrics(cwd: string, first: string, second: string, ...options: string[]): Promise<Ended> {
  const folders = ['--input_root0', first, '--input_root1', second];
  return new Cli(['compute-metrics', ...folders, '--metrics', 'psnr', ...options], cwd).ended;
}

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'distri-metrics-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

/** Copies golden files, [from, to] each, below a temporary folder. */
async function folders(t: TestContext, files: readonly (readonly [string, string])[]): Promise<string> {
  const root = await temporaryFolder(t);
  for (const [from, to] of files) {
    await mkdir(dirname(join(root, to)), { recursive: true });
    await copyFile(golden(from), join(root, to));
  }
  return root;
}

function figure(stdout: string, name: string): number {
  const [, text = ''] = stdout.match(new RegExp(`^${name}: (.*)$`, 'm')) ?? [];
  assert.notEqual(text, '', `${name} in ${stdout}`);
  return Number(text);
}

test('PSNR is the mean of the pairs that differ, and says how many do not', async (t) => {
  const cwd = await temporaryFolder(t);
  const files = ['--json', 'metrics.json', '--html', 'metrics.html'];
  const { status, stdout, stderr } = await metrics(cwd, golden('root0'), golden('root1'), ...files);
  assert.equal(status, 0, stderr);
  const expected = cases.psnr.root0_root1;
  const mean = expected.overall_without_identical_0003;
  assert.ok(Math.abs(figure(stdout, 'PSNR') / mean - 1) < 1e-6, stdout);
  assert.match(stdout, /11 pairs; 1 of 12 are identical/);
  const { pairs, identical_pairs } = JSON.parse(await readFile(join(cwd, 'metrics.json'), 'utf8'));
  assert.equal(identical_pairs, 1);
  for (const [index, value] of expected.per_image_float64.entries()) {
    if (value === 'inf') assert.equal(pairs[index].psnr, 'inf');
    else assert.ok(Math.abs(pairs[index].psnr / value - 1) < 1e-6);
  }
  const page = await readFile(join(cwd, 'metrics.html'), 'utf8');
  assert.match(page, /<td>0002\.png<\/td><td>31\.773<\/td>/);
  assert.match(page, /<td>0003\.png<\/td><td>identical<\/td>/);
});

test('ground truth is paired with images of other types and resized', async (t) => {
  const root = await folders(t, [
    ['gt/0002.png', 'gt/0002.png'],
    ['gt/0003.jpg', 'gt/0003.jpg'],
    ['gt/0004.png', 'gt/0004.png'],
    ['gen1024/0002.png', 'gen/0002.png'],
    ['gen1024/0004.png', 'gen/0004.png'],
  ]);
  const strict = ['--is_gt', '--strict_reference', '--json', 'metrics.json'];
  const refused = await metrics(root, 'gt', 'gen', ...strict);
  assert.equal(refused.status, 10);
  assert.match(refused.stderr, /3 and 2 images cannot be paired/);

  const { status, stderr } = await metrics(root, 'gt', 'gen', '--is_gt', '--json', 'metrics.json');
  assert.equal(status, 0, stderr);
  assert.match(stderr, /gt\/0003\.jpg: not paired/);
  const { pairs } = JSON.parse(await readFile(join(root, 'metrics.json'), 'utf8'));
  const [, , indices, , exact] = cases.is_gt.psnr.per_image_float64;
  assert.ok(Math.abs(pairs[1].psnr / exact - 1) < 1e-6, String(pairs[1].psnr));
  // The reference compares the indices of the palette; here its colours are.
  assert.ok(Math.abs(pairs[0].psnr / indices - 1) > 0.01, String(pairs[0].psnr));
});

test('--strict_reference gives what the reference gives', async (t) => {
  const root = await folders(t, [
    ['gt/0002.png', 'gt/a.png'],
    ['gt/0004.png', 'gt/b.png'],
    ['gen1024/0002.png', 'gen/c.png'],
    ['gen1024/0004.png', 'gen/d.png'],
  ]);
  const { stdout, stderr } = await metrics(root, 'gt', 'gen', '--is_gt', '--strict_reference');
  const [, , indices, , exact] = cases.is_gt.psnr.per_image_float64;
  assert.ok(Math.abs(figure(stdout, 'PSNR') / ((indices + exact) / 2) - 1) < 1e-6, stdout + stderr);
  const identical = await metrics(root, golden('uniform0'), golden('uniform1'), '--strict_reference');
  assert.match(identical.stdout, /^PSNR: inf$/m);
  const mixed = await metrics(root, golden('root0'), golden('root1'), '--strict_reference');
  assert.equal(mixed.status, 10);
  assert.match(mixed.stderr, /0001\.png: its size differs/);
  const single = ['--strict_reference', '--batch_size', '1'];
  assert.match((await metrics(root, golden('root0'), golden('root1'), ...single)).stdout, /^PSNR: inf$/m);
});

test('a missing partner, a damaged file and other sizes are named, and the rest is compared', async (t) => {
  const root = await folders(t, [
    ['uniform0/0000.png', 'a/0000.png'],
    ['uniform0/0001.png', 'a/0001.png'],
    ['uniform0/0002.png', 'a/0002.png'],
    ['uniform0/0003.png', 'a/0003.png'],
    ['uniform1/0000.png', 'b/0000.png'],
    ['root1/0001.png', 'b/0001.png'],
    ['uniform1/0003.png', 'b/0003.png'],
  ]);
  await writeFile(join(root, 'b/0002.png'), (await readFile(golden('uniform1/0002.png'))).subarray(0, 900));
  await writeFile(join(root, 'b/0009.png'), 'no image');
  const { status, stdout, stderr } = await metrics(root, 'a', 'b');
  assert.equal(status, 10);
  const [first, , , last] = cases.psnr.uniform0_uniform1.per_image_float64;
  assert.ok(Math.abs(figure(stdout, 'PSNR') / ((first + last) / 2) - 1) < 1e-6, stdout);
  assert.match(stderr, /b\/0009\.png: not paired/);
  assert.match(stderr, /a\/0001\.png is 80x56 and b\/0001\.png is 96x64: not compared/);
  assert.match(stderr, /b\/0002\.png: not an image that can be read/);
});

test('grey, 16 bits, transparency and WebP are compared as the colours that they are', async (t) => {
  const root = await temporaryFolder(t);
  const [width, height] = [40, 30];
  const grey = Uint8Array.from({ length: width * height }, (_, i) => (i * 7) % 256);
  const colours = Uint8Array.from({ length: grey.length * 3 }, (_, i) => grey[Math.floor(i / 3)] as number);
  const raw = { width, height, channels: 3 as const };
  const image = () => sharp(colours, { raw });
  await mkdir(join(root, 'a'));
  await mkdir(join(root, 'b'));
  for (const name of ['grey', 'deep', 'alpha', 'web'])
    await image()
      .png()
      .toFile(join(root, 'a', `${name}.png`));
  await sharp(grey, { raw: { ...raw, channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toFile(join(root, 'b', 'grey.png'));
  const deep = Uint16Array.from(colours, (value) => value * 257);
  await sharp(deep, { raw })
    .toColourspace('rgb16')
    .png()
    .toFile(join(root, 'b', 'deep.PNG'));
  await image()
    .ensureAlpha(0.3)
    .png()
    .toFile(join(root, 'b', 'alpha.png'));
  await image()
    .webp({ lossless: true })
    .toFile(join(root, 'b', 'web.webp'));
  const { status, stdout, stderr } = await metrics(root, 'a', 'b', '--json', 'metrics.json');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^PSNR: inf$/m);
  assert.equal(JSON.parse(await readFile(join(root, 'metrics.json'), 'utf8')).identical_pairs, 4);
});

test('what cannot work is refused in one line', async (t) => {
  const cwd = await folders(t, [['gt/0002.png', 'gt/0002.png']]);
  const refuses = async (pattern: RegExp, ...args: [string, string, ...string[]]) => {
    const { status, stderr } = await metrics(cwd, ...args);
    assert.notEqual(status, 0);
    assert.match(stderr.trimEnd().split('\n').at(-1) ?? '', pattern);
  };
  await refuses(/none: no such file or folder/, 'none', 'gt');
  await refuses(/one of psnr/, 'gt', 'gt', '--metrics', 'ssim');
  await refuses(/none\.pth: no such file or folder/, 'gt', 'gt', '--fid_weights', 'none.pth');
  await refuses(/missing: no such file or folder/, 'gt', 'gt', '--json', 'missing/metrics.json');
});

test('PSNR, LPIPS and FID of two folders are those of the reference', async (t) => {
  const cwd = await temporaryFolder(t);
  const alexNet = await writeGenerated(join(cwd, 'alexnet.safetensors'), alexNetShapes);
  const inception = await writeGenerated(join(cwd, 'inception.safetensors'), inceptionShapesWithoutScale);
  const weights = ['--lpips_weights', alexNet, '--fid_weights', inception, '--threads', '2', '--offline'];
  const folders = ['--input_root0', golden('uniform0'), '--input_root1', golden('uniform1')];
  const { status, stdout, stderr } = await new Cli(['compute-metrics', ...folders, ...weights], cwd).ended;
  assert.equal(status, 0, stderr);
  const near = (name: string, expected: number, relative: number, absolute: number) => {
    const value = figure(stdout, name);
    assert.ok(
      Math.abs(value - expected) <= expected * relative + absolute,
      `${name}: ${value}, not ${expected}`,
    );
  };
  near('PSNR', cases.psnr.uniform0_uniform1.by_batch_size[1].first_four_overall, 1e-6, 0);
  near('LPIPS', cases.lpips.hash.uniform0_uniform1[1], 0, 1e-6);
  near('FID', cases.folder_fid['uniform0|uniform1'].exact_low_rank, 1e-5, 1e-5);
});

test('without weights offline the other metrics are there, and what is missing is said', async (t) => {
  const cwd = await temporaryFolder(t);
  const folders = ['--input_root0', golden('uniform0'), '--input_root1', golden('uniform1')];
  const options = [
    '--metrics',
    'psnr,lpips',
    '--offline',
    '--lpips_weights',
    golden('pth', 'lpips_alex_v0.1.pth'),
  ];
  const { status, stdout, stderr } = await new Cli(
    ['compute-metrics', ...folders, ...options],
    cwd,
    'export TORCH_HOME=torch',
  ).ended;
  assert.equal(status, 3);
  assert.match(stdout, /^PSNR: 33\.47/m);
  assert.match(
    stderr,
    /AlexNet's weights are not there \(looked for torch\/hub\/checkpoints\/alexnet-owt-7be5be79\.pth/,
  );
  assert.match(stderr, /--lpips_weights <file>/);
});
