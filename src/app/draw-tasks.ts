import { sum } from '../base/numbers.js';
import type { DrawReport, ResultFiles } from '../jobs/draw.js';
import { distribute, type Worker } from '../ranks/group/distribute.js';
import type { Observer, Progress } from './observer.js';
import { Pace } from './pace.js';
import type { Pipeline } from './pipeline.js';
import type { DrawPlan } from './plan-drawing.js';

/** One call of a pipeline among many, and what becomes of its pictures. */
export interface DrawTask {
  readonly plan: DrawPlan;
  /** Where the first rank writes; made when it is the task's turn. */
  open(): Promise<OpenTask>;
}

export interface OpenTask {
  readonly files: ResultFiles;
  /** Called when the pictures are there. */
  finish(reports: readonly DrawReport[], group: number): Promise<void>;
  /** `error` as people understand it. */
  explain(error: unknown): unknown;
  /** Called last, whatever happened. */
  discard(): Promise<void>;
}

export interface DrawTasksOptions {
  readonly observer: Observer;
  readonly signal: AbortSignal;
  /** Groups that draw at the same time. */
  readonly lanes: number;
  /** Called for each task that was not drawn. */
  readonly failed: (index: number, error: unknown) => void;
  /**
   * After which failures the others would fail as well: the run ends with this error. By default after none.
   */
  readonly endsRun?: (error: unknown) => boolean;
}

/** How it went. */
export interface Drawn {
  readonly tasks: number;
  readonly seconds: number;
}

/**
 * Draws each task as a call of its own, on several groups of ranks at a time. A task that fails does not keep
 * the others from being drawn.
 */
export async function drawTasks(
  pipeline: Pipeline,
  tasks: readonly DrawTask[],
  { observer, signal, lanes, failed, endsRun = () => false }: DrawTasksOptions,
): Promise<Drawn> {
  const steps = tasks.map(({ plan }) => plan.steps);
  const status = new Status(steps, observer);
  const stop = new AbortController();
  try {
    await distribute<number>({
      tasks: tasks.map((_, index) => index),
      lanes,
      start: async (lane): Promise<Worker<number>> => ({
        run: async (index) => {
          try {
            await drawTask(pipeline, tasks[index] as DrawTask, index, lane, status);
          } catch (error) {
            if (endsRun(error)) stop.abort(error);
            throw error;
          }
        },
        get dead() {
          return pipeline.failed(lane);
        },
        close: async () => {},
      }),
      failed,
      interruption: AbortSignal.any([signal, stop.signal]),
    });
    return { tasks: status.done, seconds: status.seconds };
  } finally {
    status.stop();
  }
}

async function drawTask(
  pipeline: Pipeline,
  task: DrawTask,
  index: number,
  group: number,
  status: Status,
): Promise<void> {
  const open = await task.open();
  try {
    const reports = await pipeline.run(task.plan, {
      results: open.files,
      group,
      listener: (rank, event) => {
        if (rank === 0 && event.type === 'step') status.step(index, event.step + 1);
      },
    });
    await open.finish(reports, group);
    status.finish(index);
  } catch (error) {
    throw open.explain(error);
  } finally {
    await open.discard();
  }
}

/** How far all tasks are, counted in steps. */
class Status {
  readonly #steps: readonly number[];
  readonly #total: number;
  readonly #taken = new Map<number, number>();
  readonly #progress: Progress;
  readonly #pace = new Pace();
  done = 0;

  constructor(steps: readonly number[], observer: Observer) {
    this.#steps = steps;
    this.#total = sum(steps);
    this.#progress = observer.progress(this.#total, 'steps');
    this.#progress.update(0, 'loading');
  }

  get seconds(): number {
    return this.#pace.seconds;
  }

  step(index: number, taken: number): void {
    this.#taken.set(index, taken);
    this.#show();
  }

  finish(index: number): void {
    this.done += 1;
    this.step(index, this.#steps[index] as number);
  }

  stop(): void {
    this.#progress.stop();
  }

  #show(): void {
    const taken = sum([...this.#taken.values()]);
    const pace = this.#pace.outlook(taken, this.#total, 'step');
    const done = `${this.done} of ${this.#steps.length} done`;
    this.#progress.update(taken, 'drawing', [done, ...(pace ? [pace] : [])].join(', '));
  }
}
