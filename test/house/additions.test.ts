import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { embeddedModel } from '../../src/base/package.js';
import { inFloat32, packageRoot } from '../e2e/cli.js';

// What docs/architecture.md says of where new things go is tried: in a copy of the compiled program they get
// their files and their rows and nothing else, and the copy has to have them in its options, texts, plans and
// pictures.

let copy: string;

before(async () => {
  copy = await mkdtemp(join(tmpdir(), 'distri-additions-'));
  const whole = ['bin', 'configs', 'package.json', 'scripts', join('dist', 'src')];
  for (const path of whole) await cp(join(packageRoot, path), join(copy, path), { recursive: true });
  for (const path of ['node_modules', 'build', 'models', 'assets']) {
    await symlink(join(packageRoot, path), join(copy, path));
  }
});

after(() => rm(copy, { recursive: true }));

const module = (path: string) => join(copy, 'dist', 'src', path);

/** A new module, and a row of it where `registry` has its rows: after `start`, which it has once. */
async function add(
  path: string,
  text: string,
  registry: string,
  imported: string,
  start: string,
  row: string,
) {
  await writeFile(module(path), text);
  const rows = await readFile(module(registry), 'utf8');
  assert.equal(rows.split(start).length, 2, `${registry} has no place for rows`);
  await writeFile(module(registry), `${imported}\n${rows.replace(start, `${start}\n${row}`)}`);
  bundle();
}

/** As a build does after it has compiled. */
function bundle(): void {
  const { status, stderr } = spawnSync(process.execPath, [join(copy, 'scripts', 'bundle.mjs')]);
  assert.equal(status, 0, String(stderr));
}

/** What the copy prints. */
function distri(...args: string[]): string {
  const given = [join(copy, 'bin', 'distri.js'), ...inFloat32(args)];
  const { status, stdout, stderr } = spawnSync(process.execPath, given, { cwd: copy, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** The latents of two steps. */
async function draw(...args: string[]): Promise<Buffer> {
  const few = ['--num_inference_steps', '2', '--threads', '1', '--output_type', 'latent'];
  return readFile(distri(...args, ...few, '--output_path', 'x.safetensors').trimEnd());
}

test('a scheduler is its file and a row', async () => {
  await add(
    'schedulers/late.js',
    `import { DDIMScheduler } from './ddim.js';
    export class LateScheduler extends DDIMScheduler {
      setTimesteps(steps) {
        super.setTimesteps(steps);
        this.timesteps.forEach((timestep, index) => { this.timesteps[index] = timestep + 1; });
      }
    }`,
    'schedulers/registry.js',
    `import { LateScheduler } from './late.js';`,
    'const rows = {',
    `late: {
      create: (config) => new LateScheduler(config), className: 'LateScheduler', follows: 'noise', noise: 'eta',
      startsAnywhere: true
    },`,
  );
  for (const command of ['run-sdxl', 'run-sd', 'run-pixart', 'generate-coco']) {
    assert.match(distri(command, '--help'), /--scheduler <name> .*\blate\b/);
  }
  const late = await draw('run-sdxl', '-n', '1', '--scheduler', 'late');
  assert.ok(!late.equals(await draw('run-sdxl', '-n', '1')));
  assert.deepEqual(await draw('run-sdxl', '-n', '2', '--scheduler', 'late', '--parallelism', 'tensor'), late);
});

test('a way to share a picture is its file and a row', async () => {
  await add(
    'parallel/strategies/replicas.js',
    `import { SingleDevice } from '../layers/single-device.js';
    import { SlotTable } from '../slots.js';
    import { plainRow, synchronousStep } from '../strategy.js';
    export const replicas = {
      ...plainRow,
      kind: 'layers',
      text: 'the whole picture each',
      options: [{ name: 'replica_color', text: 'color of replicas', takes: { type: 'choice', values: ['red'] } }],
      describeSteps: () => 'replicas',
      create: ({ topology }) => ({
        variants: 1,
        layers: (_variant, kernels, weights) => new SingleDevice(kernels, weights),
        variantOf: () => 0,
        step: synchronousStep,
        describe: () => 'a whole picture',
        slots: new SlotTable(topology.worldSize),
      }),
    };`,
    'parallel/registry.js',
    `import { replicas } from './strategies/replicas.js';`,
    'export const strategies = {',
    'replicas,',
  );
  const help = distri('run-pixart', '--help');
  assert.match(help, /--parallelism <name> .*\breplicas\b/);
  assert.match(help, /--replica_color <name> +replicas: color of replicas: red/);
  const shared = ['--no_split_batch', '--parallelism', 'replicas', '--replica_color', 'red'];
  assert.deepEqual(await draw('run-sdxl', '-n', '2', ...shared), await draw('run-sdxl', '-n', '1'));
  assert.match(distri('plan', '-n', '2', '--no_split_batch'), /\breplicas\b/);
});

test('a family is its file and a row', async () => {
  await add(
    'families/shapes.js',
    `import { stableDiffusionXL } from './stable-diffusion-xl.js';
    export const shapes = {
      ...stableDiffusionXL,
      name: 'shapes',
      title: 'Shapes',
      pipelineClass: 'ShapesPipeline',
      embedded: undefined,
      defaults: { ...stableDiffusionXL.defaults, guidanceScale: 3 },
      options: [{ name: 'outline_width', text: 'of shapes', takes: { type: 'integer', least: 1 } }],
      examples: ['--outline_width 3'],
    };`,
    'families/registry.js',
    `import { shapes } from './shapes.js';`,
    'export const families = [',
    'shapes,',
  );
  await cp(embeddedModel, join(copy, 'model'), { recursive: true });
  const index = join(copy, 'model', 'model_index.json');
  const text = await readFile(index, 'utf8');
  await writeFile(index, text.replace('StableDiffusionXLPipeline', 'ShapesPipeline'));

  assert.match(distri('--help'), /run-shapes \[options\] +Draw a picture with a checkpoint of\s+Shapes,/);
  const help = distri('run-shapes', '--help');
  assert.match(help, /--outline_width <n>/);
  assert.match(help, /distri run-shapes --outline_width 3/);
  assert.match(distri('generate-coco', '--help'), /--outline_width <n> +Shapes: of shapes/);
  const same = ['-n', '1', '--prompt', 'a red heart'];
  const guided = await draw('run-sdxl', ...same, '--guidance_scale', '3');
  assert.deepEqual(await draw('run-shapes', ...same, '--model', 'model', '--outline_width', '3'), guided);
});

test('a device is a row', async () => {
  const command = ['run-sdxl', '-n', '2', '--engine', 'onnxruntime'] as const;
  const drawn = await draw(...command);
  const text = await readFile(module('engine/device.js'), 'utf8');
  const twin = `const devices = [{ ...onnxruntime, name: 'twin', load: (...given) => {
    writeFileSync('twin.txt', 'loaded');
    return onnxruntime.load(...given);
  } }, `;
  const replaced = text.replace('const devices = [', twin);
  await writeFile(module('engine/device.js'), `import { writeFileSync } from 'node:fs';\n${replaced}`);
  bundle();
  assert.deepEqual(await draw(...command), drawn);
  assert.equal(await readFile(join(copy, 'twin.txt'), 'utf8'), 'loaded');
});

test('an architecture to measure is a file in configs/', async () => {
  await cp(join(copy, 'configs', 'sdxl-mid.json'), join(copy, 'configs', 'mine.json'));
  assert.match(distri('profile-macs', '--random_weights', 'mine', '--image_size', '128'), /MACs: /);
});

test('a command is its file and a row', async () => {
  await add(
    'commands/greet.js',
    `import { Command } from 'commander';
    export const greetCommand = () => new Command('greet').description('Say hello.').action(() => console.log('hello'));`,
    'cli.js',
    `import { greetCommand } from './commands/greet.js';`,
    'const commands = [',
    'greetCommand(),',
  );
  assert.match(distri('--help'), /greet +Say hello\./);
  assert.equal(distri('greet'), 'hello\n');
});
