import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sum } from '../../src/base/numbers.js';
import { table } from '../../src/commands/output/table.js';
import { openDevice } from '../../src/engine/device.js';
import type { ComputeKind } from '../../src/graph/operators.js';
import { kindOfOperator } from '../../src/graph/passes/cost.js';
import { planTopology, type RankRole } from '../../src/parallel/topology.js';
import { RankProgram } from '../../src/planning/rank-program.js';
import { integer, oneOf, option, runBench, word } from '../bench.js';
import { distriContestant } from './contestants.js';
import { type BenchModel, benchParallel, guidedShape, makeModel, namedConfig, openModel } from './model.js';

const options = {
  random_weights: option(word('name'), 'architecture', 'sdxl-mid'),
  image_size: option(integer(), 'side of the picture in pixels', 512),
  ranks: option(integer(), 'ranks, which share the picture as displaced patches', 2),
  threads: option(integer(), 'threads of each rank', 1),
  steps: option(integer(), 'steps that are measured', 5),
  weights: option(oneOf(['private', 'shared']), 'how ranks hold their weights', 'private'),
};

await runBench(
  {
    name: 'profile',
    text:
      'Where the time of a stale step goes: milliseconds of each kind of operator on each rank, from ONNX ' +
      "Runtime's own profile, and how fast those compute that multiply.",
    options,
  },
  async (given, signal) => {
    const { random_weights: name, image_size: size, ranks: count, threads, steps, weights } = given;
    const { model, remove } = await makeModel(await namedConfig(name), guidedShape(size));
    const folder = await mkdtemp(join(tmpdir(), 'distri-profile-'));
    try {
      const profile = join(folder, 'step');
      const ranks = await distriContestant(model, count, threads, weights, { profile, signal });
      const times: number[] = [];
      for (let step = 0; step < steps; step++) times.push(await ranks.step());
      await ranks.close();
      console.log(
        `${ranks.name}, ${name}, ${size} px: steps ${times.map((time) => time.toFixed(1)).join(', ')} ms`,
      );
      for (const [rank, file] of (await readdir(folder)).toSorted().entries()) {
        // The step at loading is in the profile as well.
        const operators = await readProfile(join(folder, file), steps + 1);
        print(`rank ${rank}`, operators, await plannedMacs(model, count, rank));
      }
    } finally {
      await rm(folder, { recursive: true });
      await remove();
    }
  },
);

/** An event of ONNX Runtime's profile (Chrome trace format), durations in microseconds. */
interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly dur: number;
  readonly args: { readonly op_name?: string };
}

/** Of one step. */
interface OperatorTime {
  calls: number;
  milliseconds: number;
}

async function readProfile(file: string, runs: number): Promise<ReadonlyMap<string, OperatorTime>> {
  const events = JSON.parse(await readFile(file, 'utf8')) as ProfileEvent[];
  const operators = new Map<string, OperatorTime>();
  for (const { cat, name, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time')) continue;
    const operator = args.op_name ?? '?';
    const time = operators.get(operator) ?? { calls: 0, milliseconds: 0 };
    time.calls += 1 / runs;
    time.milliseconds += dur / 1000 / runs;
    operators.set(operator, time);
  }
  return operators;
}

/** Multiply-accumulates of a stale step by kind of computation. */
async function plannedMacs(given: BenchModel, ranks: number, rank: number): Promise<RankProgram['macs']> {
  const { model } = await openModel(given);
  const { batch, ...size } = given.shape;
  const topology = planTopology({ worldSize: ranks, guided: true, splitBatch: false });
  const image = { device: openDevice(), model, ...size, images: batch / 2 };
  return RankProgram.build(image, topology, topology.roles[rank] as RankRole, benchParallel).macs;
}

/** Milliseconds of all operators of a kind. */
function timeOf(operators: ReadonlyMap<string, OperatorTime>, kind: ComputeKind): number {
  const own = [...operators].filter(([operator]) => kindOfOperator(operator) === kind);
  return sum(own.map(([, { milliseconds }]) => milliseconds));
}

function print(
  title: string,
  operators: ReadonlyMap<string, OperatorTime>,
  macs: Readonly<Record<ComputeKind, number>>,
): void {
  const total = sum([...operators.values()].map(({ milliseconds }) => milliseconds));
  const percent = (milliseconds: number) => ((100 * milliseconds) / total).toFixed(1);
  const rows = [...operators]
    .toSorted(([, a], [, b]) => b.milliseconds - a.milliseconds)
    .map(([operator, { calls, milliseconds }]) => {
      const kind = kindOfOperator(operator);
      const speed = kind === 'other' ? '' : ((2e-6 * macs[kind]) / timeOf(operators, kind)).toFixed(0);
      return [operator, calls.toFixed(0), milliseconds.toFixed(2), percent(milliseconds), speed];
    });
  console.log(`${title}: ${total.toFixed(1)} ms in operators per step`);
  for (const line of table(['', 'calls', 'ms', '%', 'GFLOP/s'], rows, [0])) console.log(`  ${line}`);
  const rest = percent(timeOf(operators, 'other'));
  console.log(`  neither convolution, matrix product nor attention: ${rest} %`);
}
