import { benchmarkFigures, firstRank, type Measurements } from '../report/benchmark.js';
import type { GenerationJob, JobReport } from '../runtime/job.js';
import { memoryUse } from '../runtime/memory-use.js';
import { benchmarkLines, latencyLine } from './benchmark-output.js';
import { benchmarkRecord } from './benchmark-record.js';
import { phaseLines } from './phase-output.js';
import { RecordFile } from './record-file.js';
import type { SdxlOptions } from './sdxl-options.js';
import { chooseSubject } from './sdxl-plan.js';
import { describeRun, launchRanks, prepareSdxl, type RunContext, type SdxlRanks } from './sdxl-ranks.js';
import { synchronousSteps } from './summary.js';
import type { Progress } from './terminal.js';
import { TimelineFile } from './timeline-file.js';

/**
 * Calls the pipeline again and again and tells how long that takes, as distrifuser's scripts/run_sdxl.py in its benchmark mode: the
 * models are loaded once, and a measured call goes from text to the output type asked for.
 */
export async function benchmarkSdxl(options: SdxlOptions, context: RunContext): Promise<void> {
  const { terminal } = context;
  if (options.output_path !== undefined)
    terminal.note('--output_path has no effect: a benchmark writes no picture');
  const subject = chooseSubject(options, context.family);
  const file = options.json === undefined ? undefined : await RecordFile.prepare(options.json);
  const timeline = options.timeline === undefined ? undefined : await TimelineFile.prepare(options.timeline);
  try {
    const preparation = await prepareSdxl(options, subject, context);
    describeRun(subject, preparation, terminal);
    if (subject.randomWeights) {
      terminal.note(
        'random weights and embeddings: the denoising alone is measured, without text encoders and VAE',
      );
    }
    const { plan, load } = preparation;
    const { request, parallel } = plan;
    const job = { load, request, parallel, files: noFiles, timeline: timeline !== undefined };
    const measurements = await measure(job, options, context);
    const synchronous = synchronousSteps(plan.topology, plan.parallel, plan.steps);
    const figures = benchmarkFigures(measurements, synchronous, options.ignore_ratio);
    await file?.write(await benchmarkRecord(options, subject, preparation, measurements, figures));
    // Of the last call: the others are like it.
    await timeline?.write(measurements.runs.at(-1) ?? [], plan.topology, plan.parallelism);
    terminal.result(latencyLine(figures));
    for (const line of benchmarkLines(figures)) terminal.report(line);
    terminal.report('');
    for (const line of phaseLines(measurements.runs, terminal.verbosity === 'verbose')) terminal.report(line);
  } finally {
    await timeline?.discard();
    await file?.discard();
  }
}

const noFiles = { images: [], latents: undefined, trace: undefined };

async function measure(job: GenerationJob, options: SdxlOptions, context: RunContext): Promise<Measurements> {
  const { warmup_times, test_times } = options;
  const progress = context.terminal.progress(warmup_times + test_times, 'runs');
  try {
    progress.update(0, 'loading');
    const ranks = await launchRanks(options, job.load, context);
    const warmups = await repeat(ranks, job, warmup_times, progress, 0, 'warming up');
    const runs = await repeat(ranks, job, test_times, progress, warmup_times, 'measuring');
    const memory = await Promise.all(ranks.pids.map((pid) => memoryUse(pid as number)));
    await ranks.close();
    const first = firstRank((warmups[0] ?? runs[0]) as readonly JobReport[]);
    return { runs, load: first.timings.phases.load ?? 0, memory };
  } finally {
    progress.stop();
  }
}

/** Does the job `times` times; `before` runs came before. */
async function repeat(
  ranks: SdxlRanks,
  job: GenerationJob,
  times: number,
  progress: Progress,
  before: number,
  label: string,
): Promise<(readonly JobReport[])[]> {
  const runs: (readonly JobReport[])[] = [];
  for (let run = 0; run < times; run++) {
    progress.update(before + run, label);
    runs.push(await ranks.run(job, () => {}));
    progress.update(before + run + 1, label);
  }
  return runs;
}
