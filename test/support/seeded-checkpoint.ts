import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { TorchGenerator } from '../../src/tensor/random-torch.js';
import { elementCount, type Shape, type Tensor } from '../../src/tensor/tensor.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const golden = join(root, 'test', 'golden');
const cache = join(root, 'build', 'checkpoints');

/**
 * Name and shape of a tensor; and where among the numbers of seed 0 its initial value starts, if that was
 * drawn at random.
 */
type Entry = readonly [name: string, shape: Shape, start?: number];

/** The weights of one component: how they were drawn, and the digests of the files that hold them. */
export interface SeededComponent {
  readonly folder: string;
  readonly seed: number;
  readonly files: Readonly<Record<string, string>>;
  /** In the order of torch's `named_parameters()`. */
  readonly parameters: readonly Entry[];
  /** Tensors that are normal numbers / sqrt(columns) from `start` on. */
  readonly buffers?: readonly (readonly [name: string, shape: Shape, start: number])[];
}

export const seededCheckpoints = ['tiny-sdxl', 'tiny-sd15', 'tiny-sd21', 'tiny-pixart', 'tiny-flux'] as const;

/**
 * The folder of a test checkpoint whose weights are drawn anew instead of being kept in the repository (see
 * test/golden/README.md). It is made once, in build/checkpoints, and must not be changed.
 */
export async function seededCheckpoint(name: (typeof seededCheckpoints)[number]): Promise<string> {
  const target = join(cache, `${name}-${await digestOfSources(name)}`);
  if (existsSync(target)) return target;
  await mkdir(cache, { recursive: true });
  const made = await mkdtemp(`${target}-`);
  try {
    await cp(join(golden, name), made, { recursive: true });
    for (const component of await seededComponents(name)) await writeWeights(component, made);
    await rename(made, target);
  } catch (error) {
    await rm(made, { recursive: true });
    // Another test process was faster.
    if (!existsSync(target)) throw error;
  }
  return target;
}

export async function seededComponents(name: string): Promise<SeededComponent[]> {
  return JSON.parse(await readFile(join(golden, 'seeded', `${name}.json`), 'utf8')) as SeededComponent[];
}

async function digestOfSources(name: string): Promise<string> {
  const hash = createHash('sha256').update(await readFile(join(golden, 'seeded', `${name}.json`)));
  for (const path of (await readdir(join(golden, name), { recursive: true })).sort()) {
    hash.update(path);
    if (/\.\w+$/.test(path)) hash.update(await readFile(join(golden, name, path)));
  }
  return hash.digest('hex').slice(0, 12);
}

async function writeWeights(component: SeededComponent, checkpoint: string): Promise<void> {
  const folder = join(checkpoint, component.folder);
  const tensors = Object.entries(drawComponent(component));
  const files = Object.keys(component.files);
  const fileOf = await weightMap(folder, files);
  for (const file of files) {
    const held = tensors.filter(([name]) => fileOf(name) === file);
    await writeSafetensors(join(folder, file), Object.fromEntries(held), { format: 'pt' });
  }
}

/** Which file holds a tensor: the only one, or the one that the index names. */
async function weightMap(folder: string, files: readonly string[]): Promise<(tensor: string) => unknown> {
  if (files.length === 1) return () => files[0];
  const index = (await readdir(folder)).find((name) => name.endsWith('.index.json')) ?? '';
  const { weight_map } = JSON.parse(await readFile(join(folder, index), 'utf8')) as {
    weight_map: Record<string, string>;
  };
  return (tensor) => weight_map[tensor];
}

function drawComponent(component: SeededComponent): Record<string, Tensor<'float32'>> {
  const { seed, parameters, buffers = [] } = component;
  const generator = new TorchGenerator(BigInt(seed));
  const initial = initialNumbers(parameters);
  const fanIns = new Map(parameters.map(([name, shape]) => [name, fanIn(shape)]));
  const drawn: Record<string, Tensor<'float32'>> = {};
  for (const [name, shape, start] of parameters) {
    const tensor = generator.randn(shape);
    if (shape.length > 1) scale(tensor, fanIn(shape));
    else if (start === undefined) perturb(tensor, () => (name.endsWith('.weight') ? 1 : 0));
    else {
      const bound = 1 / Math.sqrt(fanIns.get(name.replace(/bias$/, 'weight')) ?? Number.NaN);
      perturb(tensor, (i) => uniform(initial[start + i] as number, bound));
    }
    drawn[name] = tensor;
  }
  for (const [name, shape, start] of buffers) {
    const skipped = new TorchGenerator(0n);
    skipped.rand([start]);
    drawn[name] = scale(skipped.randn(shape), fanIn(shape));
  }
  return drawn;
}

function initialNumbers(parameters: readonly Entry[]): Float32Array {
  const ends = parameters.map(([, shape, start]) => (start === undefined ? 0 : start + elementCount(shape)));
  return new TorchGenerator(0n).rand([Math.max(...ends)]).data;
}

function fanIn(shape: Shape): number {
  return elementCount(shape.slice(1));
}

function scale(tensor: Tensor<'float32'>, fan: number): Tensor<'float32'> {
  const factor = Math.fround(1 / Math.sqrt(fan));
  tensor.data.forEach((value, i) => {
    tensor.data[i] = value * factor;
  });
  return tensor;
}

/** initial + 0.1 x, every operation rounded to float32. */
function perturb({ data }: Tensor<'float32'>, initial: (index: number) => number): void {
  const tenth = Math.fround(0.1);
  data.forEach((value, i) => {
    data[i] = initial(i) + Math.fround(tenth * value);
  });
}

/**
 * `Tensor.uniform_(-bound, bound)`: torch's default for biases of convolutions and linear layers, bound = 1 /
 * sqrt(fan_in).
 */
function uniform(number: number, bound: number): number {
  return Math.fround(number * Math.fround(2 * bound) - Math.fround(bound));
}
