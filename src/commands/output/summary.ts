import type { DrawPlan } from '../../app/plan-drawing.js';
import { mean } from '../../base/numbers.js';
import { deviceText } from '../../engine/device.js';
import type { Timings } from '../../jobs/observe/phase-clock.js';
import { imageCount } from '../../pipelines/request.js';
import type { Terminal } from './terminal.js';

/** More ranks than this are told in short. */
const LISTED_RANKS = 4;

/** Says what will be done and who does it. */
export function describeRun(plan: DrawPlan, terminal: Terminal, groups = 1): void {
  const { topology, load, shares, mode } = plan;
  const { worldSize } = topology;
  terminal.note(describeRequest(plan));
  terminal.note(
    (groups === 1 ? '' : `${groups} groups, each of `) +
      `${counted(worldSize, 'rank')} with ${counted(load.threads, 'thread')}, ${load.weights} weights, ${deviceText(load.device)}; ${mode}`,
  );
  if (worldSize === 1) return;
  const listed = terminal.verbosity === 'verbose' || worldSize <= LISTED_RANKS ? worldSize : LISTED_RANKS - 1;
  for (const [rank, share] of shares.slice(0, listed).entries()) terminal.note(`  rank ${rank}: ${share}`);
  if (listed < worldSize) terminal.note(`  … ${worldSize - listed} more, all with --verbose`);
}

/** What was asked for, in one line. */
function describeRequest({ model, request, geometry }: DrawPlan): string {
  const { width, height, numInferenceSteps, scheduler, guidanceScale, seed } = request;
  const count = imageCount(request);
  const pictures = count === 1 ? '' : `${count} pictures, `;
  const { decoded } = geometry;
  const drawn =
    decoded.width === width && decoded.height === height
      ? ''
      : `, drawn at ${decoded.width}x${decoded.height}`;
  const unit = width === height ? '' : ' (width x height)';
  const size = `${width}x${height}${unit}${drawn}`;
  return `${model}: ${pictures}${size}, ${counted(numInferenceSteps, `${scheduler} step`)}, guidance ${guidanceScale}, seed ${seed}`;
}

/**
 * How long each phase took: a line per phase. `synchronous` is the number of synchronous steps, `total` in
 * milliseconds.
 */
export function describeTimings(
  timings: Pick<Timings, 'phases' | 'steps'>,
  synchronous: number,
  total: number,
): string[] {
  const { load, encode, text, denoise, decode } = timings.phases;
  const rows: [string, number | undefined, string][] = [
    ['load', load, ''],
    ['encode', encode, ''],
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

export function counted(count: number, one: string, several = `${one}s`): string {
  return `${count} ${count === 1 ? one : several}`;
}
