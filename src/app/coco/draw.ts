import { DistriError, toError } from '../../base/errors.js';
import { clockText, secondsText } from '../../base/numbers.js';
import type { DrawOptions } from '../../commands/options/draw.js';
import type { Progress } from '../../commands/output/terminal.js';
import type { DrawPlan, Subject } from '../../families/draw-plan.js';
import { distribute, type Worker } from '../../ranks/group/distribute.js';
import type { GroupListener } from '../../ranks/group/rank-group.js';
import { describeImage } from '../outputs.js';
import { type DrawRanks, launchRanks, type Preparation, type RunContext } from '../prepare.js';
import type { PictureFolder } from './folder.js';

/** So many failed images get a line of their own. */
const REPORTED_FAILURES = 5;

/** Image `index` of the data set: its caption is the prompt, its number the seed. */
export interface CocoTask {
  readonly index: number;
  readonly prompt: string;
}

interface Failure {
  readonly task: CocoTask;
  readonly error: unknown;
}

/** Draws captions on groups of ranks that stay as they are from the first picture to the last. */
export class CocoDrawing {
  private readonly failures: Failure[] = [];
  private readonly stop = new AbortController();
  private readonly context: RunContext;
  private readonly progress: Progress;
  private readonly started = performance.now();
  private drawn = 0;

  constructor(
    private readonly tasks: readonly CocoTask[],
    private readonly folder: PictureFolder,
    private readonly options: DrawOptions,
    private readonly subject: Subject,
    private readonly preparation: Preparation,
    context: RunContext,
  ) {
    this.context = { ...context, interruption: AbortSignal.any([context.interruption, this.stop.signal]) };
    this.progress = context.terminal.progress(tasks.length, 'images');
  }

  /** A caption that fails does not keep the others from being drawn; they are an error at the end. A full disk ends everything. */
  async run(lanes: number): Promise<void> {
    // Each group of ranks is to be cleared away at exit.
    process.setMaxListeners(process.getMaxListeners() + lanes);
    try {
      this.progress.update(0, 'loading');
      await distribute<CocoTask>({
        tasks: this.tasks,
        lanes,
        start: (lane) => this.start(lane),
        failed: (task, error) => this.failures.push({ task, error }),
        interruption: this.context.interruption,
      });
    } finally {
      this.progress.stop();
    }
    if (this.drawn > 0)
      this.context.terminal.report(`${this.drawn} images in ${secondsText(this.seconds)}, ${this.rate}`);
    this.throwFailures();
  }

  private get seconds(): number {
    return (performance.now() - this.started) / 1000;
  }

  private get rate(): string {
    return `${(this.drawn / this.seconds).toPrecision(3)} images/s`;
  }

  private async start(lane: number): Promise<Worker<CocoTask>> {
    const ranks = await launchRanks(this.options, this.preparation.load, this.context, lane);
    return {
      run: (task) => this.draw(task, ranks),
      get dead() {
        return ranks.failed;
      },
      close: () => ranks.close(),
    };
  }

  private async draw({ index, prompt }: CocoTask, ranks: DrawRanks): Promise<void> {
    const plan = captionPlan(this.preparation.plan, index, prompt);
    const { request, parallel } = plan;
    const image = { path: this.folder.draft(index), text: describeImage(this.subject, plan, 0) };
    const files = { images: [image], latents: undefined, trace: undefined };
    try {
      await ranks.run({ load: this.preparation.load, request, parallel, files }, this.listener);
      await this.folder.finish(index);
    } catch (thrown) {
      const error = this.folder.explain(index, thrown);
      if (error instanceof DistriError && error.code === 'output') this.stop.abort(error);
      throw error;
    }
    this.drawn += 1;
    this.show();
  }

  private readonly listener: GroupListener = (_rank, event) => {
    if (event.type === 'step') this.show();
  };

  private show(): void {
    this.progress.update(this.drawn, 'drawing', this.drawn === 0 ? undefined : this.outlook);
  }

  private get outlook(): string {
    const left = (this.seconds / this.drawn) * (this.tasks.length - this.drawn);
    return `${this.rate}, ${clockText(left)} left`;
  }

  private throwFailures(): void {
    const [first] = this.failures;
    if (first === undefined) return;
    for (const { task, error } of this.failures.slice(0, REPORTED_FAILURES)) {
      this.context.terminal.note(
        `image ${task.index} (${JSON.stringify(task.prompt)}): ${toError(error).message}`,
      );
    }
    const code = first.error instanceof DistriError ? first.error.code : 'internal';
    throw new DistriError(
      code,
      `${this.failures.length} of ${this.tasks.length} images failed; the first, ${first.task.index}: ${toError(first.error).message}; ` +
        'the same command draws what is missing',
      { cause: first.error },
    );
  }
}

function captionPlan(plan: DrawPlan, index: number, prompt: string): DrawPlan {
  return { ...plan, request: { ...plan.request, prompt: [prompt], seed: BigInt(index) } };
}
