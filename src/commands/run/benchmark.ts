import { measureCalls } from '../../app/benchmark.js';
import { benchmarkRecord } from '../../app/records/benchmark-record.js';
import { RecordFile } from '../../app/records/record-file.js';
import { recordHeader } from '../../app/records/run-record.js';
import { benchmarkFigures } from '../../jobs/report/benchmark.js';
import { synchronousSteps } from '../../parallel/registry.js';
import { benchmarkLines, latencyLine } from '../output/benchmark.js';
import { phaseLines } from '../output/phases.js';
import { describeRun } from '../output/summary.js';
import { timelineOf } from './batch.js';
import { planCall, type Run, withPipeline } from './run.js';

/** Calls the pipeline again and again and tells how long that takes. */
export async function benchmark(run: Run): Promise<void> {
  const { options, context } = run;
  const { observer } = context;
  if (options.output_path !== undefined) {
    observer.note('--output_path has no effect: a benchmark writes no picture');
  }
  const record = await RecordFile.prepare(options.json);
  const timeline = await RecordFile.prepare(options.timeline);
  try {
    await withPipeline(run, async (pipeline) => {
      const plan = await planCall(pipeline, run);
      await pipeline.prepare(plan);
      describeRun(plan, observer);
      if (plan.load.synthetic) {
        observer.note(
          'random weights and embeddings: the denoising alone is measured, without text encoders and VAE',
        );
      }
      const times = { warmupTimes: options.warmup_times, testTimes: options.test_times };
      const wanted = { ...times, timeline: timeline !== undefined };
      const measurements = await measureCalls(pipeline, plan, wanted, observer);
      const synchronous = synchronousSteps(plan.parallel, plan.topology, plan.steps);
      const figures = benchmarkFigures(measurements, synchronous, options.ignore_ratio);
      const header = await recordHeader(options, pipeline, plan);
      await record?.write(benchmarkRecord(header, measurements, figures));
      // Of the last call: the others are like it.
      await timeline?.write(timelineOf(measurements.runs.at(-1) ?? [], plan), 0);
      observer.result(latencyLine(figures));
      for (const line of benchmarkLines(figures)) observer.report(line);
      observer.report('');
      const everyRank = observer.verbosity === 'verbose';
      for (const line of phaseLines(measurements.runs, everyRank)) observer.report(line);
    });
  } finally {
    await timeline?.discard();
    await record?.discard();
  }
}
