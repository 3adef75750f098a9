import type { DrawReport } from '../jobs/draw.js';
import { firstRank, type Measurements } from '../jobs/report/benchmark.js';
import { memoryUse } from '../machine/memory-use.js';
import type { Observer, Progress } from './observer.js';
import type { Pipeline } from './pipeline.js';
import type { DrawPlan } from './plan-drawing.js';

export interface BenchmarkOptions {
  /** Calls before those that are measured. */
  readonly warmupTimes: number;
  readonly testTimes: number;
  readonly timeline: boolean;
}

/**
 * Calls a pipeline again and again and measures it, as distrifuser's scripts in their benchmark mode: the
 * models are loaded once, and a measured call goes from text to the output type asked for.
 */
export async function measureCalls(
  pipeline: Pipeline,
  plan: DrawPlan,
  { warmupTimes, testTimes, timeline }: BenchmarkOptions,
  observer: Observer,
): Promise<Measurements> {
  const progress = observer.progress(warmupTimes + testTimes, 'runs');
  try {
    progress.update(0, 'loading');
    const call = () => pipeline.run(plan, { results: noFiles, timeline });
    const warmups = await repeat(call, warmupTimes, progress, 0, 'warming up');
    const runs = await repeat(call, testTimes, progress, warmupTimes, 'measuring');
    const memory = await Promise.all((await pipeline.pids()).map((pid) => memoryUse(pid as number)));
    const first = firstRank((warmups[0] ?? runs[0]) as readonly DrawReport[]);
    return { runs, load: first.timings.phases.load ?? 0, memory };
  } finally {
    progress.stop();
  }
}

const noFiles = { kind: 'files', images: [], latents: undefined, trace: undefined } as const;

/** Calls `times` times; `before` runs came before. */
async function repeat(
  call: () => Promise<readonly DrawReport[]>,
  times: number,
  progress: Progress,
  before: number,
  label: string,
): Promise<(readonly DrawReport[])[]> {
  const runs: (readonly DrawReport[])[] = [];
  for (let run = 0; run < times; run++) {
    progress.update(before + run, label);
    runs.push(await call());
    progress.update(before + run + 1, label);
  }
  return runs;
}
