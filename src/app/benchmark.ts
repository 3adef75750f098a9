import type { DrawOptions } from '../commands/options/draw.js';
import { benchmarkLines, latencyLine } from '../commands/output/benchmark.js';
import { phaseLines } from '../commands/output/phases.js';
import { synchronousSteps } from '../commands/output/summary.js';
import type { Progress } from '../commands/output/terminal.js';
import { chooseSubject } from '../families/draw-plan.js';
import type { GenerationJob, JobReport } from '../jobs/draw.js';
import { benchmarkFigures, firstRank, type Measurements } from '../jobs/report/benchmark.js';
import { memoryUse } from '../machine/memory-use.js';
import { type DrawRanks, describeRun, launchRanks, prepareDrawing, type RunContext } from './prepare.js';
import { benchmarkRecord } from './records/benchmark-record.js';
import { RecordFile } from './records/record-file.js';
import { TimelineFile } from './records/timeline-file.js';

/**
 * Calls the pipeline again and again and tells how long that takes, as distrifuser's scripts/run_sdxl.py in its benchmark mode: the
 * models are loaded once, and a measured call goes from text to the output type asked for.
 */
export async function benchmark(options: DrawOptions, context: RunContext): Promise<void> {
  const { terminal } = context;
  if (options.output_path !== undefined)
    terminal.note('--output_path has no effect: a benchmark writes no picture');
  const subject = chooseSubject(options, context.family);
  const file = options.json === undefined ? undefined : await RecordFile.prepare(options.json);
  const timeline = options.timeline === undefined ? undefined : await TimelineFile.prepare(options.timeline);
  try {
    const preparation = await prepareDrawing(options, subject, context);
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

async function measure(job: GenerationJob, options: DrawOptions, context: RunContext): Promise<Measurements> {
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
  ranks: DrawRanks,
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
