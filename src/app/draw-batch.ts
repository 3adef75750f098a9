import type { DrawOptions } from '../commands/options/draw.js';
import { followJob } from '../commands/output/follow-job.js';
import { phaseLines } from '../commands/output/phases.js';
import { describeTimings, synchronousSteps } from '../commands/output/summary.js';
import type { Terminal } from '../commands/output/terminal.js';
import { chooseSubject, type DrawPlan } from '../families/draw-plan.js';
import type { GenerationJob, JobReport } from '../jobs/draw.js';
import { firstRank } from '../jobs/report/benchmark.js';
import { DrawOutput } from './outputs.js';
import { describeRun, launchRanks, prepareDrawing, type RunContext } from './prepare.js';
import { generationRecord } from './records/generation-record.js';
import { RecordFile } from './records/record-file.js';
import { TimelineFile } from './records/timeline-file.js';

/** One call of the pipeline: all prompts in one batch. */
export async function drawBatch(options: DrawOptions, context: RunContext): Promise<void> {
  const subject = chooseSubject(options, context.family);
  const output = await DrawOutput.prepare(options, subject);
  let timeline: TimelineFile | undefined;
  let record: RecordFile | undefined;
  try {
    if (options.timeline !== undefined) timeline = await TimelineFile.prepare(options.timeline);
    if (options.json !== undefined) record = await RecordFile.prepare(options.json);
    const preparation = await prepareDrawing(options, subject, context);
    describeRun(subject, preparation, context.terminal);
    const { plan, load } = preparation;
    const { request, parallel } = plan;
    const files = output.files(subject, plan);
    const job = { load, request, parallel, files, timeline: timeline !== undefined };
    const reports = await drawOnRanks(job, plan.steps, options, context);
    await output.commit();
    await timeline?.write(reports, plan.topology, plan.parallelism);
    const call = { prompts: request.prompt, files: output.paths, group: 0, reports };
    await record?.write(await generationRecord(options, subject, preparation, [call]));
    report(output, reports, plan, context.terminal);
  } catch (error) {
    throw output.explain(error);
  } finally {
    await record?.discard();
    await timeline?.discard();
    await output.discard();
  }
}

async function drawOnRanks(
  job: GenerationJob,
  steps: number,
  options: DrawOptions,
  context: RunContext,
): Promise<readonly JobReport[]> {
  const progress = context.terminal.progress(steps, 'steps');
  try {
    progress.update(0, 'loading');
    const ranks = await launchRanks(options, job.load, context);
    const reports = await ranks.run(job, followJob(progress));
    await ranks.close();
    return reports;
  } finally {
    progress.stop();
  }
}

function report(
  output: DrawOutput,
  reports: readonly JobReport[],
  { topology, parallel, steps }: DrawPlan,
  terminal: Terminal,
): void {
  for (const path of output.paths) terminal.result(path);
  const synchronous = synchronousSteps(topology, parallel, steps);
  const { timings } = firstRank(reports);
  for (const line of describeTimings(timings, synchronous, performance.now())) terminal.report(line);
  terminal.report('');
  for (const line of phaseLines([reports], terminal.verbosity === 'verbose')) terminal.report(line);
}
