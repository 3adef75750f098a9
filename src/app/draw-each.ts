import { join } from 'node:path';
import { DistriError, toError } from '../base/errors.js';
import { secondsText } from '../base/numbers.js';
import { Staging } from '../base/staging.js';
import { checkNegativePrompts, type DrawOptions } from '../commands/options/draw.js';
import { groupPhaseLines, rankPhaseLines } from '../commands/output/phases.js';
import type { Progress, Terminal } from '../commands/output/terminal.js';
import { chooseSubject, type DrawPlan, type Subject } from '../families/draw-plan.js';
import { distribute, type Worker } from '../ranks/group/distribute.js';
import type { GroupListener } from '../ranks/group/rank-group.js';
import { chooseOutputFolder } from './output-paths.js';
import { DrawOutput, outputExtension } from './outputs.js';
import {
  type DrawRanks,
  describeRun,
  launchRanks,
  type Preparation,
  prepareDrawing,
  type RunContext,
} from './prepare.js';
import { numberPrompts, readPromptsFile, type SinglePrompt } from './prompts.js';
import { type DrawnCall, generationRecord } from './records/generation-record.js';
import { RecordFile } from './records/record-file.js';

/** One call of the pipeline, and where its pictures go. */
interface Task {
  readonly prompt: SinglePrompt;
  readonly negative: readonly string[];
  /** Of the file; several pictures are numbered. */
  readonly path: string;
}

interface Failure {
  readonly task: Task;
  readonly error: unknown;
}

/**
 * Draws each prompt on its own, on `data_parallel` groups of ranks at a time. A prompt that fails does not keep the others from
 * being drawn; it is reported at the end.
 */
export async function drawPrompts(options: DrawOptions, context: RunContext): Promise<void> {
  const { terminal, meeting } = context;
  const { data_parallel: groups = 1 } = options;
  if (meeting !== undefined && groups > 1) {
    throw new DistriError('usage', `--data_parallel needs ranks that distri starts, not ${meeting.launcher}`);
  }
  const { subject, prompts } = await choosePrompts(options, context);
  const folder = chooseOutputFolder(options.output_path, subject.prompts[0] ?? '');
  const tasks = planTasks(options, prompts, folder);
  const reserved = new Staging();
  const record = options.json === undefined ? undefined : await RecordFile.prepare(options.json);
  try {
    await reserved.reserve(folder);
    const preparation = await prepareDrawing(options, subject, context);
    const lanes = Math.min(groups, tasks.length);
    describeRun(subject, preparation, terminal, lanes);
    const drawing = new Drawing(tasks, options, subject, preparation, context);
    const failures = await drawing.run(lanes);
    if (drawing.calls.length > 0) {
      await record?.write(await generationRecord(options, subject, preparation, drawing.calls));
    }
    drawing.report();
    reportFailures(failures, tasks.length, terminal);
  } finally {
    await record?.discard();
    await reserved.discard();
  }
}

async function choosePrompts(
  options: DrawOptions,
  { family }: RunContext,
): Promise<{ subject: Subject; prompts: SinglePrompt[] }> {
  const subject = chooseSubject(options, family);
  const prompts =
    options.prompts === undefined ? numberPrompts(subject.prompts) : await readPromptsFile(options.prompts);
  checkNegativePrompts(options.negative_prompt ?? [], prompts.length);
  return { subject: { ...subject, prompts: prompts.map(({ text }) => text) }, prompts };
}

function planTasks(options: DrawOptions, prompts: readonly SinglePrompt[], folder: string): Task[] {
  const { negative_prompt: negative = [] } = options;
  return prompts.map((prompt, index) => ({
    prompt,
    negative: negative.length > 1 ? negative.slice(index, index + 1) : negative,
    path: join(folder, `${String(index).padStart(4, '0')}${outputExtension(options)}`),
  }));
}

/** Draws tasks and knows how far it is. */
class Drawing {
  private readonly drawn = new Map<Task, DrawnCall>();
  private readonly started = performance.now();
  private readonly progress: Progress;

  constructor(
    private readonly tasks: readonly Task[],
    private readonly options: DrawOptions,
    private readonly subject: Subject,
    private readonly preparation: Preparation,
    private readonly context: RunContext,
  ) {
    const pictures = tasks.length * options.num_images_per_prompt;
    this.progress = context.terminal.progress(pictures, 'pictures');
  }

  async run(lanes: number): Promise<readonly Failure[]> {
    const failures: Failure[] = [];
    // Each group of ranks and each picture's files are to be cleared away at exit.
    process.setMaxListeners(process.getMaxListeners() + 2 * lanes);
    try {
      this.progress.update(0, 'loading');
      await distribute<Task>({
        tasks: this.tasks,
        lanes,
        start: (lane) => this.start(lane),
        failed: (task, error) => failures.push({ task, error }),
        interruption: this.context.interruption,
      });
      return failures;
    } finally {
      this.progress.stop();
    }
  }

  /** What was drawn so far, in the order of the prompts. */
  get calls(): readonly DrawnCall[] {
    return this.tasks.flatMap((task) => this.drawn.get(task) ?? []);
  }

  /** Prints the paths in the order of the prompts, then how long it took. */
  report(): void {
    const { terminal } = this.context;
    const { calls } = this;
    for (const { files } of calls) for (const path of files) terminal.result(path);
    terminal.report(`${this.done} pictures in ${secondsText(this.seconds)}, ${this.rate}`);
    if (calls.length === 0) return;
    terminal.report('');
    const lines = terminal.verbosity === 'verbose' ? rankPhaseLines : groupPhaseLines;
    for (const line of lines(calls)) terminal.report(line);
  }

  private get done(): number {
    return this.drawn.size * this.options.num_images_per_prompt;
  }

  private get seconds(): number {
    return (performance.now() - this.started) / 1000;
  }

  private get rate(): string {
    return `${(this.done / this.seconds).toPrecision(3)} pictures/s`;
  }

  private show(): void {
    this.progress.update(this.done, 'drawing', this.done === 0 ? undefined : this.rate);
  }

  private async start(lane: number): Promise<Worker<Task>> {
    const ranks = await launchRanks(this.options, this.preparation.load, this.context, lane);
    return {
      run: (task) => this.draw(task, lane, ranks),
      get dead() {
        return ranks.failed;
      },
      close: () => ranks.close(),
    };
  }

  private async draw(task: Task, group: number, ranks: DrawRanks): Promise<void> {
    const subject = { ...this.subject, prompts: [task.prompt.text] };
    const output = await DrawOutput.at(task.path, this.options, subject);
    try {
      const plan = singlePlan(this.preparation.plan, task);
      const { request, parallel } = plan;
      const files = output.files(subject, plan);
      const job = { load: this.preparation.load, request, parallel, files };
      const reports = await ranks.run(job, this.listener);
      await output.commit();
      this.drawn.set(task, { prompts: request.prompt, files: output.paths, group, reports });
      this.show();
    } catch (error) {
      throw output.explain(error);
    } finally {
      await output.discard();
    }
  }

  private readonly listener: GroupListener = (_rank, event) => {
    if (event.type === 'step') this.show();
  };
}

/** The plan for one of the prompts. */
function singlePlan(plan: DrawPlan, { prompt, negative }: Task): DrawPlan {
  return { ...plan, request: { ...plan.request, prompt: [prompt.text], negativePrompt: negative } };
}

function reportFailures(failures: readonly Failure[], tasks: number, terminal: Terminal): void {
  const [first] = failures;
  if (first === undefined) return;
  for (const { task, error } of failures) {
    terminal.note(`${task.prompt.origin} (${JSON.stringify(task.prompt.text)}): ${toError(error).message}`);
  }
  const code = first.error instanceof DistriError ? first.error.code : 'internal';
  const origins = failures.map(({ task }) => task.prompt.origin).join(', ');
  throw new DistriError(
    code,
    `${failures.length} of ${tasks} prompts failed (${origins}); the first: ${toError(first.error).message}`,
    { cause: first.error },
  );
}
