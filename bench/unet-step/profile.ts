/**
 * Where the time of a stale step goes: per operator kind and rank, from ONNX Runtime's own profile.
 *
 *   node dist/bench/unet-step/profile.js [--model sdxl-mid] [--size 512] [--ranks 2] [--threads 1] [--steps 5] [--weights private]
 */

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sum } from '../../src/base/numbers.js';
import { type ComputeKind, kindOfOperator } from '../../src/graph/passes/cost.js';
import { unetModel } from '../../src/models/noise-model.js';
import { readUNet2DConditionConfig } from '../../src/models/unet-2d-condition.js';
import { planTopology, type RankRole } from '../../src/parallel/topology.js';
import { RankProgram } from '../../src/planning/rank-program.js';
import { distriContestant } from './contestants.js';
import { type BenchModel, benchParallel, guidedShape, makeModel, namedConfig } from './model.js';

/** An event of ONNX Runtime's profile (Chrome trace format), durations in microseconds. */
interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly dur: number;
  readonly args: { readonly op_name?: string };
}

interface Row {
  calls: number;
  milliseconds: number;
}

async function readProfile(file: string, runs: number): Promise<Map<string, Row>> {
  const events = JSON.parse(await readFile(file, 'utf8')) as ProfileEvent[];
  const rows = new Map<string, Row>();
  for (const { cat, name, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time')) continue;
    const kind = args.op_name ?? '?';
    const row = rows.get(kind) ?? { calls: 0, milliseconds: 0 };
    row.calls += 1 / runs;
    row.milliseconds += dur / 1000 / runs;
    rows.set(kind, row);
  }
  return rows;
}

/** Multiply-accumulates of a stale step by kind of computation. */
function plannedMacs({ config, shape }: BenchModel, ranks: number, rank: number) {
  const topology = planTopology({ worldSize: ranks, guided: true, splitBatch: false });
  const image = { ...shape, model: unetModel(readUNet2DConditionConfig(config)), images: shape.batch / 2 };
  return RankProgram.build(image, topology, topology.roles[rank] as RankRole, benchParallel).macs;
}

/** Milliseconds of all operators of a kind. */
function timeOf(rows: ReadonlyMap<string, Row>, kind: ComputeKind): number {
  const own = [...rows].filter(([operator]) => kindOfOperator(operator) === kind);
  return sum(own.map(([, { milliseconds }]) => milliseconds));
}

function print(title: string, rows: ReadonlyMap<string, Row>, macs: ReturnType<typeof plannedMacs>): void {
  const total = sum([...rows.values()].map((row) => row.milliseconds));
  console.log(`${title}: ${total.toFixed(1)} ms in operators per step`);
  for (const [kind, { calls, milliseconds }] of [...rows].toSorted(
    (a, b) => b[1].milliseconds - a[1].milliseconds,
  )) {
    const share = ((100 * milliseconds) / total).toFixed(1);
    const computed = kindOfOperator(kind);
    const speed =
      computed === 'other' ? '' : `${((2e-6 * macs[computed]) / timeOf(rows, computed)).toFixed(0)} GFLOP/s`;
    console.log(
      `  ${kind.padEnd(24)} ${calls.toFixed(0).padStart(5)} calls ${milliseconds.toFixed(2).padStart(9)} ms ${share.padStart(5)} %  ${speed}`.trimEnd(),
    );
  }
  const rest = timeOf(rows, 'other');
  console.log(`  neither convolution, matrix product nor attention: ${((100 * rest) / total).toFixed(1)} %`);
}

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'sdxl-mid' },
    size: { type: 'string', default: '512' },
    ranks: { type: 'string', default: '2' },
    threads: { type: 'string', default: '1' },
    steps: { type: 'string', default: '5' },
    weights: { type: 'string', default: 'private' },
  },
});
const weights = values.weights === 'shared' ? 'shared' : 'private';
const steps = Number(values.steps);
const { model, remove } = await makeModel(await namedConfig(values.model), guidedShape(Number(values.size)));
const folder = await mkdtemp(join(tmpdir(), 'distri-profile-'));
try {
  const ranks = await distriContestant(
    model,
    Number(values.ranks),
    Number(values.threads),
    weights,
    join(folder, 'step'),
  );
  const times = [];
  for (let step = 0; step < steps; step++) times.push(await ranks.step());
  await ranks.close();
  console.log(
    `${ranks.name}, ${values.model}, ${values.size} px: steps ${times.map((t) => t.toFixed(1)).join(', ')} ms`,
  );
  // The step at loading is in the profile as well.
  for (const [rank, file] of (await readdir(folder)).toSorted().entries()) {
    const rows = await readProfile(join(folder, file), steps + 1);
    print(`rank ${rank}`, rows, plannedMacs(model, Number(values.ranks), rank));
  }
} finally {
  await rm(folder, { recursive: true });
  await remove();
}
