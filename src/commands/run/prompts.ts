import { join } from 'node:path';
import { type DrawTask, drawTasks } from '../../app/draw-tasks.js';
import { examplePrompt } from '../../app/model.js';
import { chooseOutputFolder, numberedPaths } from '../../app/output-paths.js';
import { DrawOutput, outputExtension } from '../../app/outputs.js';
import type { Pipeline } from '../../app/pipeline.js';
import type { DrawPlan } from '../../app/plan-drawing.js';
import { numberPrompts, readPromptsFile, type SinglePrompt } from '../../app/prompts.js';
import { type DrawnCall, generationRecord } from '../../app/records/generation-record.js';
import { RecordFile } from '../../app/records/record-file.js';
import { recordHeader } from '../../app/records/run-record.js';
import { DistriError, toError } from '../../base/errors.js';
import { secondsText } from '../../base/numbers.js';
import { quote } from '../../base/quote.js';
import { Staging } from '../../base/staging.js';
import { imageCount } from '../../pipelines/request.js';
import { refuseLaunchedGroups } from '../options/launched-ranks.js';
import { checkNegativePrompts } from '../options/picture.js';
import { modelOf } from '../options/run.js';
import { groupPhaseLines, rankPhaseLines } from '../output/phases.js';
import { counted, describeRun } from '../output/summary.js';
import type { Terminal } from '../output/terminal.js';
import { planCall, type Run, withPipeline } from './run.js';

interface Failure {
  readonly prompt: SinglePrompt;
  readonly error: unknown;
}

/**
 * Draws each prompt on its own, on as many groups of ranks at a time as `--data_parallel` says. A prompt that
 * fails does not keep the others from being drawn; it is reported at the end.
 */
export async function drawPrompts(run: Run): Promise<void> {
  const { options, family, context } = run;
  refuseLaunchedGroups(options, context.launched);
  const prompts =
    options.prompts === undefined
      ? numberPrompts(options.prompt ?? [examplePrompt(modelOf(options, family).model, family)])
      : await readPromptsFile(options.prompts);
  checkNegativePrompts(options.negative_prompt ?? [], prompts.length);
  const folder = chooseOutputFolder(options.output_path, prompts[0]?.text ?? '');
  const reserved = new Staging();
  const record = await RecordFile.prepare(options.json);
  try {
    await reserved.reserve(folder);
    await withPipeline(run, async (pipeline) => {
      // What is true of the first is true of all.
      const first = { prompt: prompts.slice(0, 1).map(({ text }) => text), negative_prompt: [] };
      const plan = await planCall(pipeline, { ...run, options: { ...options, ...first } });
      await pipeline.prepare(plan);
      const drawing = new PromptDrawing(run, plan, prompts, folder);
      const failures = await drawing.run(pipeline);
      if (drawing.calls.length > 0) {
        await record?.write(generationRecord(await recordHeader(options, pipeline, plan), drawing.calls));
      }
      reportFailures(failures, prompts.length, context.observer);
    });
  } finally {
    await record?.discard();
    await reserved.discard();
  }
}

/** The prompts of a run, and what became of them. */
class PromptDrawing {
  readonly #drawn = new Map<number, DrawnCall>();

  constructor(
    private readonly of: Run,
    private readonly plan: DrawPlan,
    private readonly prompts: readonly SinglePrompt[],
    private readonly folder: string,
  ) {}

  /** What was drawn, in the order of the prompts. */
  get calls(): readonly DrawnCall[] {
    return this.prompts.flatMap((_, index) => this.#drawn.get(index) ?? []);
  }

  /** Draws them, says where they are and how long it took; resolves to those that failed. */
  async run(pipeline: Pipeline): Promise<readonly Failure[]> {
    const { observer, signal } = this.of.context;
    const lanes = Math.min(pipeline.groups, this.prompts.length);
    describeRun(this.plan, observer, lanes);
    const failures: Failure[] = [];
    const { seconds } = await drawTasks(
      pipeline,
      this.prompts.map((_, index) => this.#task(index)),
      {
        observer,
        signal,
        lanes,
        failed: (index, error) => failures.push({ prompt: this.prompts[index] as SinglePrompt, error }),
      },
    );
    this.#report(seconds);
    return failures;
  }

  #task(index: number): DrawTask {
    const prompt = this.prompts[index] as SinglePrompt;
    const plan = singlePlan(this.plan, prompt, this.#negative(index));
    return {
      plan,
      open: async () => {
        const { request } = plan;
        const name = `${String(index).padStart(4, '0')}${outputExtension(request.outputType)}`;
        const images = request.outputType === 'latent' ? 1 : imageCount(request);
        const output = await DrawOutput.prepare(numberedPaths(join(this.folder, name), images));
        return {
          files: output.files(plan),
          finish: async (reports, group) => {
            await output.commit();
            this.#drawn.set(index, { prompts: request.prompt, files: output.paths, group, reports });
          },
          explain: (error) => output.explain(error),
          discard: () => output.discard(),
        };
      },
    };
  }

  #negative(index: number): readonly string[] {
    const { negative_prompt: negative = [] } = this.of.options;
    return negative.length > 1 ? negative.slice(index, index + 1) : negative;
  }

  #report(seconds: number): void {
    const { observer } = this.of.context;
    const { calls } = this;
    for (const { files } of calls) for (const path of files) observer.result(path);
    const pictures = calls.length * imageCount(this.plan.request);
    const rate = (pictures / seconds).toPrecision(3);
    observer.note(`${counted(pictures, 'picture')} in ${secondsText(seconds)}, ${rate} pictures/s`);
    if (calls.length === 0 || observer.verbosity !== 'verbose') return;
    for (const line of ['', ...groupPhaseLines(calls), '', ...rankPhaseLines(calls)]) observer.note(line);
  }
}

/** The plan for one of the prompts. */
function singlePlan(plan: DrawPlan, prompt: SinglePrompt, negativePrompt: readonly string[]): DrawPlan {
  return { ...plan, request: { ...plan.request, prompt: [prompt.text], negativePrompt } };
}

function reportFailures(failures: readonly Failure[], prompts: number, terminal: Terminal): void {
  const [first] = failures;
  if (first === undefined) return;
  for (const { prompt, error } of failures) {
    terminal.note(`${prompt.origin} (${quote(prompt.text)}): ${toError(error).message}`);
  }
  const code = first.error instanceof DistriError ? first.error.code : 'internal';
  const origins = failures.map(({ prompt }) => prompt.origin).join(', ');
  throw new DistriError(
    code,
    `${failures.length} of ${prompts} prompts failed (${origins}); the first: ${toError(first.error).message}`,
    { cause: first.error },
  );
}
