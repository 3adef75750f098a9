import { examplePrompt } from '../../app/model.js';
import { chooseOutputPath, chooseOutputPaths } from '../../app/output-paths.js';
import { DrawOutput, outputExtension } from '../../app/outputs.js';
import type { Pipeline } from '../../app/pipeline.js';
import type { DrawPlan } from '../../app/plan-drawing.js';
import { generationRecord } from '../../app/records/generation-record.js';
import { RecordFile } from '../../app/records/record-file.js';
import { recordHeader } from '../../app/records/run-record.js';
import type { DrawReport } from '../../jobs/draw.js';
import { chromeTrace } from '../../jobs/observe/timeline.js';
import { firstRank } from '../../jobs/report/benchmark.js';
import { synchronousSteps } from '../../parallel/registry.js';
import { phases } from '../../ranks/progress.js';
import { modelOf } from '../options/run.js';
import { followJob } from '../output/follow-job.js';
import { phaseLines } from '../output/phases.js';
import { describeRun, describeTimings } from '../output/summary.js';
import type { Terminal } from '../output/terminal.js';
import { planCall, type Run, withPipeline } from './run.js';

/** One call of the pipeline: all prompts in one batch. */
export async function drawBatch(run: Run): Promise<void> {
  const { options, context } = run;
  const files = await Files.prepare(run);
  try {
    await withPipeline(run, async (pipeline) => {
      const plan = await planCall(pipeline, run);
      await pipeline.prepare(plan);
      describeRun(plan, context.observer);
      const reports = await draw(pipeline, plan, files, context.observer);
      await files.output.commit();
      await files.timeline?.write(timelineOf(reports, plan), 0);
      const call = { prompts: plan.request.prompt, files: files.output.paths, group: 0, reports };
      await files.record?.write(generationRecord(await recordHeader(options, pipeline, plan), [call]));
      report(files.output, reports, plan, context.observer);
    });
  } catch (error) {
    throw files.output.explain(error);
  } finally {
    await files.discard();
  }
}

/** What the ranks did when, as a trace that chrome://tracing shows. */
export function timelineOf(reports: readonly DrawReport[], { shares }: DrawPlan): object {
  const names = shares.map((share, rank) => `rank ${rank}: ${share}`);
  return chromeTrace(
    reports.map(({ timeline = [] }) => timeline),
    names,
  );
}

async function draw(
  pipeline: Pipeline,
  plan: DrawPlan,
  { output, timeline }: Files,
  terminal: Terminal,
): Promise<readonly DrawReport[]> {
  const progress = terminal.progress(plan.steps, 'steps');
  try {
    progress.update(0, phases.load.label);
    return await pipeline.run(plan, {
      results: output.files(plan),
      timeline: timeline !== undefined,
      listener: followJob(progress, plan.steps),
    });
  } finally {
    progress.stop();
  }
}

/** The files of a call, whose places are checked before anything expensive. */
class Files {
  private constructor(
    /** Pictures or latents. */
    readonly output: DrawOutput,
    readonly record: RecordFile | undefined,
    readonly timeline: RecordFile | undefined,
  ) {}

  static async prepare({ options, family }: Run): Promise<Files> {
    const { output_path, output_type, num_images_per_prompt, trace, json, timeline } = options;
    const titles = options.prompt ?? [examplePrompt(modelOf(options, family).model, family)];
    const extension = outputExtension(output_type);
    const paths =
      output_type === 'latent'
        ? [chooseOutputPath(output_path, titles[0] as string, extension)]
        : chooseOutputPaths(output_path, titles, num_images_per_prompt, extension);
    const prepared: { discard(): Promise<void> }[] = [];
    const keep = <T extends { discard(): Promise<void> } | undefined>(file: T): T => {
      if (file) prepared.push(file);
      return file;
    };
    try {
      const output = keep(await DrawOutput.prepare(paths, trace));
      const record = keep(await RecordFile.prepare(json));
      return new Files(output, record, keep(await RecordFile.prepare(timeline)));
    } catch (error) {
      for (const file of prepared) await file.discard();
      throw error;
    }
  }

  async discard(): Promise<void> {
    for (const file of [this.record, this.timeline, this.output]) await file?.discard();
  }
}

function report(
  output: DrawOutput,
  reports: readonly DrawReport[],
  { topology, parallel, steps }: DrawPlan,
  terminal: Terminal,
): void {
  for (const path of output.paths) terminal.result(path);
  const synchronous = synchronousSteps(parallel, topology, steps);
  const { timings } = firstRank(reports);
  for (const line of describeTimings(timings, synchronous, performance.now())) terminal.note(line);
  if (terminal.verbosity !== 'verbose') return;
  terminal.note('');
  for (const line of phaseLines([reports], true)) terminal.note(line);
}
