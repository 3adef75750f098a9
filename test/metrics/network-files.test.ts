import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DistriError } from '../../src/base/errors.js';
import { lpipsHeadsFile } from '../../src/base/package.js';
import { encodeHeader, writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { loadInception, loadLpips } from '../../src/metrics/load-networks.js';
import {
  alexNetFiles,
  type Download,
  findWeights,
  inceptionFiles,
  type KnownWeights,
} from '../../src/metrics/network-files.js';
import { alexNetShapes } from '../../src/metrics/networks/alexnet-lpips.js';
import { inceptionNames } from '../../src/metrics/networks/inception-names.js';
import { openTensorFile } from '../../src/metrics/tensor-file.js';
import { elementCount, type Shape, type Tensor } from '../../src/tensor/tensor.js';
import { inceptionShapes, inceptionShapesWithoutScale, writeGenerated } from './generated-weights.js';
import { golden } from './support.js';

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'distri-weights-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

/** What the blocks of NVIDIA's archive are called inside, in torchvision's order. */
const tower = (name: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${name}.conv${i ? `_${i}` : ''}`);
const blockA = ['conv', ...tower('tower', 2), ...tower('tower_1', 3), 'tower_2.conv'];
const blockB = ['conv', ...tower('tower', 3)];
const blockC = ['conv', ...tower('tower', 3), ...tower('tower_1', 5), 'tower_2.conv'];
const blockD = [...tower('tower', 2), ...tower('tower_1', 4)];
const blockE = [
  'conv',
  ...['tower_conv', 'tower_mixed_conv', 'tower_mixed_conv_1'],
  ...['tower_1_conv', 'tower_1_conv_1', 'tower_1_mixed_conv', 'tower_1_mixed_conv_1', 'tower_2_conv'],
];
const blocks = [blockA, blockA, blockA, blockB, blockC, blockC, blockC, blockC, blockD, blockE, blockE];
const archiveNames = [
  ...['layers.conv', 'layers.conv_1', 'layers.conv_2', 'layers.conv_3', 'layers.conv_4'],
  ...blocks.flatMap((names, i) => names.map((name) => `layers.mixed${i ? `_${i}` : ''}.${name}`)),
];

/**
 * Inception's tensors, four of each convolution, with convolutions called `names` and parts as in the
 * archive.
 */
function renamed(names: readonly string[]): [string, Shape][] {
  const parts = ['weight', 'beta', 'mean', 'var'];
  return inceptionShapesWithoutScale.map(([, shape], i) => [
    `${names[Math.floor(i / 4)]}.${parts[i % 4]}`,
    shape,
  ]);
}

test("Inception is found under torchvision's names, those of NVIDIA's archive, and others in the same order", () => {
  const torchvision = inceptionNames(new Map(inceptionShapes));
  assert.deepEqual(
    [...(torchvision ?? [])],
    inceptionShapes.map(([name]) => [name, name]),
  );
  const withoutScale = inceptionNames(new Map(inceptionShapesWithoutScale.toReversed()));
  assert.equal(withoutScale?.size, 94 * 4);
  // In another order only the names can tell what is what.
  const archive = inceptionNames(
    new Map([...renamed(archiveNames).reverse(), ['output.weight', [1008, 2048]]]),
  );
  assert.equal(archive?.size, 94 * 4);
  assert.equal(archive?.get('Mixed_6a.branch3x3dbl_3.bn.running_var'), 'layers.mixed_3.tower.conv_2.var');
  assert.equal(
    archive?.get('Mixed_7c.branch3x3dbl_3b.conv.weight'),
    'layers.mixed_10.tower_1_mixed_conv_1.weight',
  );
  const others = inceptionNames(new Map(renamed(archiveNames.map((_, i) => `net.${i}`))));
  assert.equal(others?.get('Mixed_6e.branch7x7dbl_2.bn.bias'), 'net.65.beta');
});

test('a network of other layers is not taken for Inception', () => {
  const shapes = () => renamed(archiveNames.map((_, i) => `net.${i}`));
  assert.equal(inceptionNames(new Map(shapes().slice(4))), undefined);
  assert.equal(inceptionNames(new Map(shapes().filter((_, i) => i !== 7))), undefined);
  assert.equal(
    inceptionNames(new Map(shapes().map(([name, shape], i) => [name, i === 6 ? [33] : shape]))),
    undefined,
  );
  assert.equal(inceptionNames(alexNetShapes), undefined);
});

const offline = { offline: true, onDownload: () => {} };

test("torchvision's own Inception is refused", async (t) => {
  const path = join(await temporaryFolder(t), 'inception_v3_google.safetensors');
  const layout = [...inceptionShapes, ['fc.weight', [1000, 2048]] as const].map(([name, shape]) => ({
    name,
    shape,
    dtype: 'F32' as const,
  }));
  const header = encodeHeader(layout);
  await writeFile(path, header);
  await truncate(path, header.length + layout.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0));
  await assert.rejects(
    loadInception(path, offline),
    /not the Inception that FID is defined on: it tells 1000 classes apart/,
  );
});

test('files that do not fit LPIPS are refused by name', async (t) => {
  const folder = await temporaryFolder(t);
  const refuses = (files: readonly string[], message: RegExp) =>
    assert.rejects(loadLpips(files, offline), (error) => {
      assert.ok(error instanceof DistriError);
      assert.match(error.message, message);
      return true;
    });
  await refuses([golden('pth', 'state_dict_zip.pth')], /state_dict_zip\.pth: neither AlexNet's convolutions/);
  const wide = [...alexNetShapes].map(
    ([name, shape]) => [name, name === 'features.3.bias' ? [191] : shape] as const,
  );
  const wrong = await writeGenerated(join(folder, 'wide.safetensors'), wide);
  await refuses([wrong], /wide\.safetensors: tensor "features\.3\.bias" has shape \[191\], not \[192\]/);
  const short = await writeGenerated(join(folder, 'short.safetensors'), [...alexNetShapes].slice(1));
  await refuses([short], /short\.safetensors: has no tensor "features\.0\.weight"/);
  await refuses([join(folder, 'none.pth')], /none\.pth: no such file or folder/);
});

async function allTensors(path: string): Promise<(readonly [string, Tensor])[]> {
  const file = await openTensorFile(path);
  return Promise.all([...file.shapes.keys()].map(async (name) => [name, await file.read(name)] as const));
}

test('LPIPS takes heads from a file of the lpips package, and has the same ones itself', async (t) => {
  const folder = await temporaryFolder(t);
  const alexNet = await writeGenerated(join(folder, 'alexnet.safetensors'), alexNetShapes);
  const images = [0.2, 0.7].map((shade, k) =>
    Float32Array.from({ length: 3 * 40 * 33 }, (_, i) => (shade + ((i * (k + 3)) % 11) / 40) % 1),
  ) as [Float32Array, Float32Array];
  const distances: number[] = [];
  const heads = await openTensorFile(lpipsHeadsFile);
  const both = join(folder, 'both.safetensors');
  const tensors = await Promise.all([alexNet, lpipsHeadsFile].map(allTensors));
  await writeSafetensors(both, Object.fromEntries(tensors.flat()));
  for (const files of [[alexNet], [golden('pth', 'lpips_alex_v0.1.pth'), alexNet], [both]]) {
    const network = await loadLpips(files, { ...offline, threads: 1 });
    distances.push(await network.distance(...images, 40, 33));
    await assert.rejects(network.distance(...images, 30, 44), /44x30 is too small/);
    await network.release();
  }
  assert.ok((distances[0] as number) > 0.001);
  assert.deepEqual(distances.slice(1), [distances[0], distances[0]]);
  const theirs = await openTensorFile(golden('pth', 'lpips_alex_v0.1.pth'));
  for (const name of heads.shapes.keys()) assert.deepEqual(await heads.read(name), await theirs.read(name));
});

test('weights are found where torch keeps them', async (t) => {
  const folder = await temporaryFolder(t);
  for (const [env, home] of [
    [{ TORCH_HOME: join(folder, 'a') }, 'a'],
    [{ XDG_CACHE_HOME: join(folder, 'b') }, 'b/torch'],
  ] as const) {
    const path = join(folder, home, 'hub/checkpoints/alexnet-owt-4df8aa71.pth');
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, '');
    assert.equal(await findWeights(alexNetFiles, { ...offline, env }), path);
  }
});

test('what is nowhere is said with all places, and nothing is downloaded offline', async () => {
  const known = { ...inceptionFiles, temporaryNames: ['not-there.pt'] };
  for (const [offline, variable] of [
    [true, {}],
    [false, { HF_HUB_OFFLINE: '1' }],
  ] as const) {
    const env = { TORCH_HOME: '/nowhere', ...variable };
    await assert.rejects(findWeights(known, { offline, onDownload: () => {}, env }), (error) => {
      assert.ok(error instanceof DistriError && error.code === 'checkpoint');
      assert.match(
        error.message,
        /\/nowhere\/hub\/checkpoints\/pt_inception-2015-12-05-6726825d\.pth, .*\/not-there\.pt\)/,
      );
      assert.match(error.message, /--fid_weights <file>/);
      return true;
    });
  }
});

/** A server that has `content` at /weights. */
async function serve(t: TestContext, content: Buffer): Promise<string> {
  const server = createServer((request, response) => {
    if (request.url === '/weights') response.end(content);
    else response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('weights are downloaded whole and with the right hash, or not at all', async (t) => {
  const folder = await temporaryFolder(t);
  const content = Buffer.from('weights of a network');
  const server = await serve(t, content);
  const sha256 = createHash('sha256').update(content).digest('hex');
  const right: Download = { name: 'net.pth', url: `${server}/weights`, size: content.length, sha256 };
  const known: KnownWeights = { ...alexNetFiles, names: ['net.pth'], download: right };
  const checkpoints = join(folder, 'hub', 'checkpoints');
  const find = (download: Partial<Download>, told: number[] = []) =>
    findWeights(
      { ...known, download: { ...right, ...download } },
      {
        offline: false,
        onDownload: (_: Download, done: number) => told.push(done),
        env: { TORCH_HOME: folder },
      },
    );

  await assert.rejects(find({ sha256: sha256.replace(/^./, 'x') }), /the download is corrupt/);
  await assert.rejects(find({ size: content.length - 1 }), /more than its 19 bytes came/);
  await assert.rejects(
    find({ url: `${server}/none` }),
    /cannot be had: the server answers 404; --lpips_weights <file>/,
  );
  assert.deepEqual(await readdir(checkpoints), []);

  const told: number[] = [];
  assert.equal(await find({}, told), join(checkpoints, 'net.pth'));
  assert.equal(told.at(-1), content.length);
  assert.deepEqual(await readFile(join(checkpoints, 'net.pth')), content);
  assert.deepEqual(await readdir(checkpoints), ['net.pth']);
  // The second time it is there.
  assert.equal(await find({ url: `${server}/none` }), join(checkpoints, 'net.pth'));
});
