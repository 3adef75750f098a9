import { mean } from '../../base/numbers.js';
import type { Timings } from '../../jobs/observe/phase-clock.js';
import { sequenceDegrees } from '../../parallel/strategies/sequence.js';
import type { Parallelism } from '../../parallel/strategy.js';
import type { RankRole, Topology } from '../../parallel/topology.js';
import type { GenerationRequest, ParallelOptions, SyncMode } from '../../pipelines/request.js';

/** Who computes what: a line per rank. */
export function describeRanks(topology: Topology, parallelism: Pick<Parallelism, 'describe'>): string[] {
  return topology.roles.map(
    (role) => `rank ${role.rank}: ${describeGuidance(role)}, ${parallelism.describe(role)}`,
  );
}

function describeGuidance({ guidance }: RankRole): string {
  return guidance === 'both' ? 'whole batch' : `${guidance} half of the batch`;
}

/** Such as "displaced patch, corrected_async_gn, 5 synchronous steps, then stale". */
export function describeMode(topology: Topology, parallel: ParallelOptions, steps: number): string {
  if (parallel.parallelism === 'pipefusion') return describePipeline(topology, parallel, steps);
  if (topology.worldSize === 1) return 'one rank';
  if (topology.patches === 1) return 'batch split, nothing stale';
  if (parallel.parallelism === 'tensor') return 'tensor parallelism';
  if (parallel.parallelism === 'sequence') return describeSequence(topology, parallel);
  if (parallel.parallelism === 'naive_patch') return `naive patches, split by ${parallel.splitScheme}`;
  const synchronous = synchronousSteps(topology, parallel, steps);
  if (synchronous === steps) return `patches, ${parallel.syncMode}, all steps synchronous`;
  const after = afterWarmup[parallel.syncMode];
  return `displaced patches, ${parallel.syncMode}, ${synchronous} synchronous steps, then ${after}`;
}

/** Such as "sequence parallelism, ulysses degree 2, ring degree 2". */
function describeSequence({ patches }: Topology, { sequence }: ParallelOptions): string {
  const { ulysses, ring } = sequenceDegrees(patches, sequence);
  return `sequence parallelism, ulysses degree ${ulysses}, ring degree ${ring}`;
}

/** Such as "pipefusion, 4 stages, 8 patches, 1 synchronous step, then stale". */
function describePipeline(topology: Topology, parallel: ParallelOptions, steps: number): string {
  const { patches = 1, sequence = 1 } = parallel.pipefusion ?? {};
  const stages = topology.patches / sequence;
  const synchronous = synchronousSteps(topology, parallel, steps);
  return [
    'pipefusion',
    `${stages} stage${stages === 1 ? '' : 's'}${sequence === 1 ? '' : ` of ${sequence} ranks`}`,
    ...(patches === 1
      ? ['whole pictures']
      : [`${patches} patches`, `${synchronous} synchronous step${synchronous === 1 ? '' : 's'}`]),
    ...(synchronous < steps ? ['then stale'] : []),
  ].join(', ');
}

const afterWarmup: Readonly<Record<SyncMode, string>> = {
  corrected_async_gn: 'stale',
  separate_gn: 'stale',
  stale_gn: 'stale',
  sync_gn: 'stale but for GroupNorm',
  full_sync: 'synchronous',
  no_sync: 'nothing exchanged',
};

/** How many of `steps` are synchronous: all of them unless bands of one image are displaced. */
export function synchronousSteps(
  { patches }: Topology,
  { parallelism, syncMode, warmupSteps, pipefusion }: ParallelOptions,
  steps: number,
): number {
  if (parallelism === 'pipefusion') return pipefusion?.patches === 1 ? steps : Math.min(warmupSteps, steps);
  return patches === 1 || parallelism !== 'patch' || syncMode === 'full_sync'
    ? steps
    : Math.min(warmupSteps + 1, steps);
}

/** What was asked for, in one line. */
export function describeRequest(model: string, request: GenerationRequest): string {
  const { prompt, numImagesPerPrompt, width, height, numInferenceSteps, scheduler, guidanceScale, seed } =
    request;
  const count = prompt.length * numImagesPerPrompt;
  const pictures = count === 1 ? '' : `${count} pictures, `;
  return `${model}: ${pictures}${width}x${height}, ${numInferenceSteps} ${scheduler} steps, guidance ${guidanceScale}, seed ${seed}`;
}

/** How long each phase took: a line per phase. `synchronous` is the number of synchronous steps, `total` in milliseconds. */
export function describeTimings(
  timings: Pick<Timings, 'phases' | 'steps'>,
  synchronous: number,
  total: number,
): string[] {
  const { load, text, denoise, decode } = timings.phases;
  const rows: [string, number | undefined, string][] = [
    ['load', load, ''],
    ['text', text, ''],
    ['denoise', denoise, describeSteps(timings.steps, synchronous)],
    ['decode', decode, ''],
    ['total', total, ''],
  ];
  return rows.flatMap(([name, time, note]) =>
    time === undefined ? [] : [`${name.padEnd(8)}${seconds(time).padStart(9)}  ${note}`.trimEnd()],
  );
}

function describeSteps(steps: readonly number[], synchronous: number): string {
  const kinds = [
    { steps: steps.slice(0, 1), label: 'first step' },
    { steps: steps.slice(1, synchronous), label: 'synchronous' },
    { steps: steps.slice(Math.max(synchronous, 1)), label: 'stale' },
  ];
  return kinds
    .filter((kind) => kind.steps.length > 0)
    .map((kind, index) =>
      index === 0 ? describeFirst(kind.label, kind.steps) : describeMean(kind.label, kind.steps),
    )
    .join(', ');
}

function describeFirst(label: string, [time = 0]: readonly number[]): string {
  return `${label} ${seconds(time)}`;
}

function describeMean(label: string, times: readonly number[]): string {
  return `${times.length} ${label} ${seconds(mean(times))} each`;
}

function seconds(milliseconds: number): string {
  const decimals = milliseconds < 10_000 ? 3 : 1;
  return `${(milliseconds / 1000).toFixed(decimals)} s`;
}
