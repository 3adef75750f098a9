import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import type { PlanReport } from '../../src/app/plan.js';
import { sum } from '../../src/base/numbers.js';
import { strategies, strategyNames } from '../../src/parallel/registry.js';
import type { RankPlan } from '../../src/planning/plan.js';
import { tinySd15 } from '../support/golden.js';
import { tinyPixArt } from '../support/golden-dit.js';
import { Cli, inNewFolder, packageRoot } from './cli.js';

/** Those that need nothing of a model. */
const unetStrategies = strategyNames.filter((name) => strategies[name].needs === 'nothing');

/** Whose bytes are known here to the last one, whatever the CPU computes fastest. */
const byReference = ['--engine', 'onnxruntime'];

/** Bytes of a rank's weights, wherever they are. */
const weightsOf = ({ privateWeights, sharedWeights }: RankPlan['memory']) => privateWeights + sharedWeights;

async function planJson(args: readonly string[], environment = 'true'): Promise<PlanReport> {
  const { status, stdout, stderr } = await new Cli(['plan', ...args, '--json'], packageRoot, environment)
    .ended;
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as PlanReport;
}

test('plan says who does what, what is exchanged and what is not possible', async () => {
  const report = await planJson(['-n', '3', '--no_measure', ...byReference]);
  assert.deepEqual(report.picture, {
    model: 'tiny-shapes',
    height: 256,
    width: 256,
    guided: true,
    steps: 50,
    device: { device: 'cpu', engine: 'onnxruntime', dtype: 'fp32' },
    options: {},
  });
  const names = report.choices.map(({ ranks, parallelism, splitBatch }) => [ranks, parallelism, splitBatch]);
  assert.deepEqual(names, [
    [1, 'patch', false],
    [2, 'patch', true],
    ...[2, 3].flatMap((ranks) => unetStrategies.map((name) => [ranks, name, false])),
  ]);
  assert.deepEqual(
    report.refused.map(({ parallelism }) => parallelism),
    unetStrategies,
  );
  assert.equal(report.recommended, undefined);
  const patches = report.choices.find(({ ranks, parallelism }) => ranks === 3 && parallelism === 'patch');
  assert.deepEqual(
    patches?.ranksPlan.map(({ share }) => share),
    ['latent rows 1 to 12 of 32', 'latent rows 13 to 24 of 32', 'latent rows 25 to 32 of 32'],
  );
  const kinds = patches?.ranksPlan[1]?.steady.map(({ kind }) => kind);
  assert.deepEqual(kinds, ['halo', 'keys_values', 'statistics', 'output']);
  const [whole] = report.choices[0]?.ranksPlan ?? [];
  const bands = patches?.ranksPlan ?? [];
  assert.ok(whole !== undefined && bands.length === 3);
  // Nothing is convolved or attended to twice; every rank has all weights, but only its rows of the picture.
  for (const kind of ['conv', 'attention'] as const) {
    assert.equal(sum(bands.map(({ macs }) => macs[kind])), whole.macs[kind]);
  }
  for (const { macs, memory, guidance } of bands) {
    assert.ok(macs.linear > whole.macs.linear / 4 && macs.linear < whole.macs.linear / 2);
    assert.ok(Math.abs(weightsOf(memory) - weightsOf(whole.memory)) < 1000);
    assert.ok(memory.activations < whole.memory.activations);
    assert.equal(guidance, 'both');
  }
});

test('plan measures the machine once, predicts and recommends', async () => {
  await inNewFolder(async (folder) => {
    const environment = `export DISTRI_CACHE=${folder}`;
    const first = await planJson(['-n', '1'], environment);
    const [file] = await readdir(folder);
    assert.match(file ?? '', /^machine-[0-9a-f]{16}\.json$/);
    const { step, synchronousStep, picture } = first.choices[0]?.prediction ?? {};
    assert.ok(step !== undefined && step > 0 && synchronousStep === step);
    assert.ok(Math.abs((picture ?? 0) - 50 * step) < 1e-9);
    assert.equal(first.recommended?.index, 0);
    assert.deepEqual(await planJson(['-n', '1'], environment), first);
  });
});

test('plan knows architectures without weights, and what it prints names the choices', async () => {
  const args = ['plan', '-n', '2', '--random_weights', 'sdxl-mid', '--image_size', '512', '--no_measure'];
  const { stdout } = await new Cli([...args, ...byReference], packageRoot).ended;
  assert.match(stdout, /^sdxl-mid: 512x512, 50 steps, with guidance, fp32 by onnxruntime$/m);
  assert.match(stdout, /^ {2}1 rank .* 166 GMAC/m);
  assert.match(stdout, /^ {2}2 ranks, tensor, whole batch/m);
  const unknown = await new Cli(['plan', '--random_weights', 'sdxl-huge'], packageRoot).ended;
  assert.equal(unknown.status, 2);
  assert.match(
    unknown.stderr,
    /Expected one of .*sdxl-base-1.0, sdxl-mid, tiny-shapes.* for --random_weights/,
  );
});

for (const [name, model] of Object.entries({
  'Stable Diffusion 1.5': tinySd15,
  'PixArt-alpha': tinyPixArt,
})) {
  test(`plan of a ${name} checkpoint says who decodes what, and with which memory`, async () => {
    const { choices, vae } = await planJson([
      '-n',
      '3',
      '--no_measure',
      '--image_size',
      '256',
      '--model',
      model,
    ]);
    assert.deepEqual([...new Set(choices.map(({ ranks }) => ranks))], [1, 2, 3]);
    assert.deepEqual(vae?.ranks.map(({ share }) => share).slice(0, 2), [
      'latent rows 1 to 11 of 32',
      'latent rows 12 to 22 of 32',
    ]);
    const alone = await planJson([
      '-n',
      '3',
      '--no_measure',
      '--image_size',
      '256',
      '--model',
      model,
      '--vae',
      'rank0',
    ]);
    assert.equal(alone.vae?.ranks.length, 1);
    const [band, whole] = [vae?.ranks[0], alone.vae?.ranks[0]];
    assert.ok(band !== undefined && whole !== undefined);
    assert.ok(band.activations > whole.activations / 3 && band.activations < whole.activations / 2);
    assert.ok(band.exchange > 0 && whole.exchange === 0);
  });
}

test('plan of a transformer shows stages, what they send and keep, and every pair of degrees', async () => {
  const { choices } = await planJson([
    '-n',
    '4',
    '--no_measure',
    '--image_size',
    '256',
    '--model',
    tinyPixArt,
    ...byReference,
  ]);
  const degrees = choices.flatMap(({ ranks, splitBatch, parallelism, settings }) =>
    ranks === 4 && !splitBatch && parallelism === 'sequence'
      ? [[settings.ulyssesDegree, settings.ringDegree]]
      : [],
  );
  assert.deepEqual(degrees, [
    [4, 1],
    [2, 2],
    [1, 4],
  ]);
  const staged = choices.find(
    ({ parallelism, settings }) => parallelism === 'pipefusion' && settings.numPipelinePatch === 4,
  );
  assert.equal(staged?.synchronousSteps, 1);
  const [, second, , last] = staged?.ranksPlan ?? [];
  assert.equal(second?.share, 'stage 2 of 4, layers 3 to 4 of 8');
  // Hidden states of two images, 256 tokens with 96 features each; latents of one image.
  const kindsOf = (rank: RankPlan | undefined) =>
    rank?.steady.map(({ kind, published }) => [kind, published]);
  assert.deepEqual(kindsOf(second), [['hidden_states', 4 * 2 * 256 * 96]]);
  assert.deepEqual(kindsOf(last), [
    ['hidden_states', 0],
    ['latents', 4 * 4 * 32 * 32],
  ]);
  // Keys and values of two layers.
  assert.equal(second?.memory.kept, 2 * 2 * 4 * 2 * 256 * 96);
  const alone = choices.find(({ ranks }) => ranks === 1)?.ranksPlan[0];
  assert.ok(second !== undefined && alone !== undefined);
  assert.ok(weightsOf(second.memory) < weightsOf(alone.memory) / 3);
});

test('plan lists the commands of a rank, and plans its memory from them', async () => {
  const lowered = ['-n', '1', '--no_measure', '--engine', 'lowered', '--dtype'];
  const report = await planJson([...lowered, 'bf16', '--commands']);
  assert.deepEqual(report.picture.device, { device: 'cpu', engine: 'lowered', dtype: 'bf16' });
  const parts = report.commands?.parts ?? [];
  assert.deepEqual(
    parts.map(({ part }) => part),
    ['image', 'step'],
  );
  for (const { arenaBytes, commands, prepared } of parts) {
    assert.ok(prepared > 0 && prepared < commands.length);
    assert.deepEqual(
      commands.map(({ number }) => number),
      commands.map((_, index) => index),
    );
    assert.ok(commands.every(({ arena }) => arena <= arenaBytes));
    const operands = commands.flatMap((command) => Object.values(command.operands));
    const inArena = operands.filter(({ memory }) => memory === 'arena');
    assert.ok(inArena.length > 0 && inArena.every(({ offset }) => offset < arenaBytes));
    assert.ok(operands.some(({ memory, dtype }) => memory === 'packed weight' && dtype === 'bfloat16'));
  }
  assert.equal(report.commands?.rank, 0);
  const memory = (plan: PlanReport) => plan.choices[0]?.ranksPlan[0]?.memory as RankPlan['memory'];
  const [short, exact] = [memory(report), memory(await planJson([...lowered, 'fp32']))];
  // Packed in files. In float32 some are there as more than one sum of theirs, see docs/performance.md.
  assert.ok(short.sharedWeights < 0.51 * exact.sharedWeights);
  assert.ok(short.privateWeights < 0.01 * short.sharedWeights);
  assert.ok(exact.activations > 1.2 * short.activations);
  assert.ok(short.activations > sum(parts.map(({ arenaBytes }) => arenaBytes)));
  assert.ok(short.kept > 0 && short.exchange === 0);
  const { stdout } = await new Cli(['plan', ...lowered, 'bf16', '--commands'], packageRoot).ended;
  assert.match(
    stdout,
    /^commands of rank 0: \d+ at every step, the first \d+ of them at the first step alone/m,
  );
  assert.match(stdout, /^ +\d+ +Product +conv_in +.* weight bfloat16 \[\d+, 4, 3, 3\] packed weight/m);
});

for (const [args, message] of [
  [
    ['--commands', '--engine', 'onnxruntime'],
    /^distri: --engine onnxruntime has no commands to list; --engine lowered has$/m,
  ],
  [
    ['--commands', '2', '--engine', 'lowered'],
    /^distri: Expected an integer from 0 to 0 for the rank whose commands are listed but received 2$/m,
  ],
] as const) {
  test(`plan ${args.join(' ')} is refused in one line`, async () => {
    const { status, stderr } = await new Cli(['plan', '-n', '1', ...args], packageRoot).ended;
    assert.notEqual(status, 0);
    assert.match(stderr, message);
  });
}
