import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sum } from '../../src/base/numbers.js';
import { table } from '../../src/commands/output/table.js';
import { type DeviceChoice, dtypeNames, loweredDevice } from '../../src/engine/device.js';
import type { CommandName } from '../../src/engine/lowered/command.js';
import { availableCpus } from '../../src/machine/cpus.js';
import { elementCount } from '../../src/tensor/tensor.js';
import { integer, oneOf, option, runBench, word } from '../bench.js';
import { distriContestant } from '../unet-step/contestants.js';
import { guidedShape, makeModel, namedConfig } from '../unet-step/model.js';
import { makeVaeCheckpoint } from '../vae/checkpoint.js';
import { vaeContestant } from './contestants.js';

const options = {
  what: option(oneOf(['model', 'vae']), 'a call of a noise model, or a decoding', 'model'),
  random_weights: option(word('name'), 'architecture of the noise model', 'sdxl-mid'),
  image_size: option(integer(), 'side of the picture in pixels', 512),
  dtype: option(oneOf(dtypeNames), 'element type', 'bf16'),
  threads: option(integer(), 'threads', availableCpus().count),
  steps: option(integer(), 'calls that are measured', 5),
  rows: option(integer(0), 'single commands to list, those that take longest', 0),
};

/** As ProgramExecutable writes it. */
interface CommandTime {
  readonly op: CommandName;
  readonly name: string;
  readonly milliseconds: number;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

await runBench(
  {
    name: 'roofline',
    text:
      'Where the time of the commands of a call goes, by kind: milliseconds, GFLOP/s of those that multiply, ' +
      'and millions of elements read and written per second.',
    options,
  },
  async ({ what, random_weights: name, image_size: size, dtype, threads, steps, rows }, signal) => {
    const folder = await mkdtemp(join(tmpdir(), 'distri-roofline-'));
    try {
      const profile = join(folder, 'call');
      const device = loweredDevice(dtype);
      const run = { folder, profile, size, threads, device, steps, signal };
      await (what === 'vae' ? runVae(run) : runModel(name, run));
      const [file] = (await readdir(folder)).filter((entry) => entry.endsWith('_commands.json'));
      const commands = JSON.parse(await readFile(join(folder, file as string), 'utf8')) as CommandTime[];
      // The call at loading is in the profile as well.
      const perCall = commands.map((row) => ({ ...row, milliseconds: row.milliseconds / (steps + 1) }));
      print(perCall, kindOf);
      const single = ({ name: own, op, shapes }: CommandTime) => `${op} ${own} ${JSON.stringify(shapes)}`;
      if (rows > 0) print(perCall, single, rows);
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);

interface Run {
  readonly folder: string;
  readonly profile: string;
  readonly size: number;
  readonly threads: number;
  readonly device: DeviceChoice;
  readonly steps: number;
  readonly signal: AbortSignal;
}

async function runModel(name: string, { profile, size, threads, device, steps, signal }: Run): Promise<void> {
  const { model, remove } = await makeModel(await namedConfig(name), guidedShape(size));
  try {
    const rank = await distriContestant(model, 1, threads, 'private', { profile, device, signal });
    for (let step = 0; step < steps; step++) await rank.step();
    await rank.close();
  } finally {
    await remove();
  }
}

async function runVae({ folder, signal, steps, ...job }: Run): Promise<void> {
  const rank = await vaeContestant({ ...job, directory: await makeVaeCheckpoint(folder) }, signal);
  for (let step = 0; step < steps; step++) await rank.step();
  await rank.close();
}

/** Convolutions apart from linear layers. */
function kindOf({ op, shapes }: CommandTime): string {
  if (op !== 'Product') return op;
  const [, , kernel] = shapes.weight ?? [];
  return kernel === undefined ? 'Product, linear' : `Product, ${kernel} x ${kernel}`;
}

/** Multiplications and additions. */
function operations({ op, shapes }: CommandTime): number {
  const { x = [], weight = [], query = [], key = [] } = shapes;
  if (op === 'Product') return 2 * elementCount(x.slice(0, -1)) * elementCount(weight);
  return op === 'Attention' ? 4 * elementCount(query) * (key[1] as number) : 0;
}

function print(
  commands: readonly CommandTime[],
  titleOf: (command: CommandTime) => string,
  rows = Number.POSITIVE_INFINITY,
): void {
  const total = sum(commands.map(({ milliseconds }) => milliseconds));
  const groups = new Map<string, CommandTime[]>();
  for (const command of commands) {
    const title = titleOf(command);
    groups.set(title, [...(groups.get(title) ?? []), command]);
  }
  const lines = [...groups].map(([title, group]) => {
    const milliseconds = sum(group.map((command) => command.milliseconds));
    const flops = sum(group.map(operations));
    const elements = sum(group.flatMap(({ shapes }) => Object.values(shapes).map(elementCount)));
    return { title, calls: group.length, milliseconds, flops, elements };
  });
  console.log(`${total.toFixed(1)} ms in ${commands.length} commands of a call`);
  const cells = lines
    .toSorted((a, b) => b.milliseconds - a.milliseconds)
    .slice(0, rows)
    .map(({ title, calls, milliseconds, flops, elements }) => [
      title,
      String(calls),
      milliseconds.toFixed(2),
      ((100 * milliseconds) / total).toFixed(1),
      flops === 0 ? '' : ((1e-6 * flops) / milliseconds).toFixed(0),
      ((1e-3 * elements) / milliseconds).toFixed(0),
    ]);
  for (const line of table(['', 'calls', 'ms', '%', 'GFLOP/s', 'M elements/s'], cells, [0]))
    console.log(line);
}
