import { unlessInterrupted } from '../base/interruption.js';
import type { SimdLevel } from '../engine/addon.js';
import { chooseDevice, openDevice } from '../engine/device.js';
import { loadAddon, probeAddon } from '../engine/load.js';
import type { Family } from '../families/family.js';
import type { DrawReport, ResultSink } from '../jobs/draw.js';
import { runJob } from '../jobs/jobs.js';
import type { GroupListener } from '../ranks/group/rank-group.js';
import type { RankProgress } from '../ranks/messages.js';
import { type OpenModel, openModel } from './model.js';
import type { Observer } from './observer.js';
import type { DrawCall, ModelOptions, SetupOptions } from './options.js';
import { type DrawPlan, planDrawing } from './plan-drawing.js';
import { type LaunchedRanks, RankGroups } from './rank-groups.js';
import { checkSetup, ranksPerGroup } from './setup.js';
import { prepareWeights } from './weights.js';

/** Where a pipeline runs. */
export interface PipelineContext {
  readonly observer: Observer;
  /** Aborted when the user wants everything to end. */
  readonly signal: AbortSignal;
  /** Of the processes of a launcher; undefined where distri starts the ranks. */
  readonly launched?: LaunchedRanks | undefined;
  /** Start the ranks of the first group at once, for a call that is sure to come unless it is refused. */
  readonly ranksAhead?: boolean;
}

/** How one call runs. */
export interface RunOptions {
  readonly results: ResultSink;
  /** Note what each rank does when. */
  readonly timeline?: boolean;
  /** Send the latents of each step along with progress. */
  readonly stepLatents?: boolean;
  readonly listener?: GroupListener;
  /** Ends this call. */
  readonly signal?: AbortSignal | undefined;
  /** Which of the groups draws; by default the first. */
  readonly group?: number;
}

/** What of the native side a pipeline's ranks need, found to work here. */
interface Natives {
  readonly simdLevel: SimdLevel;
  readonly onnxRuntime: string | undefined;
}

async function openNatives(setup: SetupOptions, observer: Observer): Promise<Natives> {
  const { simdLevel } = loadAddon();
  const kernels = `kernels for ${simdLevel}`;
  if (!openDevice(chooseDevice(setup, simdLevel)).usesOnnxRuntime) {
    observer.detail(kernels);
    return { simdLevel, onnxRuntime: undefined };
  }
  const { version, library } = await probeAddon();
  observer.detail(`ONNX Runtime ${version} (${library}), ${kernels}`);
  return { simdLevel, onnxRuntime: version };
}

/**
 * A model on its ranks. Calls are planned first, which refuses what can't be done and costs little, and then
 * run: weights are made ready and ranks started when the first call needs them, or ahead of it. Ranks keep
 * their models for the next call.
 */
export class Pipeline {
  readonly model: OpenModel;
  /** Version of ONNX Runtime; undefined where ranks do without. */
  readonly onnxRuntime: string | undefined;
  readonly #simdLevel: SimdLevel;
  readonly #setup: SetupOptions;
  readonly #context: PipelineContext;
  readonly #prepared = new Set<string>();
  /** Of what ranks said. */
  readonly #topics = new Set<string>();
  readonly #groups: RankGroups;
  /** The last call of each group: one call after another. */
  readonly #turns = new Map<number, Promise<unknown>>();

  private constructor(
    model: OpenModel,
    { onnxRuntime, simdLevel }: Natives,
    setup: SetupOptions,
    context: PipelineContext,
    groups: RankGroups,
  ) {
    this.model = model;
    this.onnxRuntime = onnxRuntime;
    this.#simdLevel = simdLevel;
    this.#setup = setup;
    this.#context = context;
    this.#groups = groups;
  }

  /** Opens a model, of `family` where one is given, for ranks of this setup. */
  static async open(
    model: string,
    options: ModelOptions & SetupOptions,
    context: PipelineContext,
    family?: Family,
  ): Promise<Pipeline> {
    checkSetup(options);
    const { observer, signal, launched, ranksAhead } = context;
    const groups = new RankGroups(options, observer, launched);
    const open = async () => {
      if (ranksAhead) groups.begin(signal);
      const natives = await openNatives(options, observer);
      const opened = await openModel(model, options, observer, family);
      return new Pipeline(opened, natives, options, context, groups);
    };
    try {
      return await unlessInterrupted(signal, open());
    } catch (error) {
      await groups.close();
      throw error;
    }
  }

  /** Ranks of a group. */
  get worldSize(): number {
    return ranksPerGroup(this.#setup);
  }

  /** Groups that draw at the same time. */
  get groups(): number {
    return this.#setup.dataParallel ?? 1;
  }

  /** What ranks will do for a call. Refuses what can't be done. */
  async plan(call: DrawCall): Promise<DrawPlan> {
    const { observer, signal, launched } = this.#context;
    const plan = async () => {
      const cpus = await launched?.cpus();
      const planning = { observer, signal, cpus, simdLevel: this.#simdLevel };
      return planDrawing(this.model, this.#setup, call, planning);
    };
    return unlessInterrupted(signal, plan());
  }

  /** Makes the weights ready that a plan needs. */
  async prepare(plan: DrawPlan): Promise<void> {
    const { observer, signal } = this.#context;
    const key = JSON.stringify([
      plan.load.device,
      plan.request.outputType,
      plan.request.initImage !== undefined,
    ]);
    if (this.#prepared.has(key)) return;
    await unlessInterrupted(signal, prepareWeights(this.model, plan, observer));
    this.#prepared.add(key);
  }

  /** Draws what was planned; resolves to how it went on each rank of the group. */
  async run(plan: DrawPlan, options: RunOptions): Promise<readonly DrawReport[]> {
    const { group = 0 } = options;
    const turn = (this.#turns.get(group) ?? Promise.resolve()).then(() => this.#run(plan, options, group));
    this.#turns.set(
      group,
      turn.catch(() => {}),
    );
    return turn;
  }

  /** Process ids of a group's ranks. */
  async pids(group = 0): Promise<readonly (number | undefined)[]> {
    return (await this.#groups.group(group, this.#context.signal)).pids;
  }

  /** Whether the ranks of a group have failed: the next call starts others. */
  failed(group = 0): boolean {
    return this.#groups.failed(group);
  }

  /** Ends the ranks; resolves when they are gone. */
  async close(): Promise<void> {
    await this.#groups.close();
  }

  async #run(plan: DrawPlan, options: RunOptions, group: number): Promise<readonly DrawReport[]> {
    const { results, timeline = false, stepLatents = false, listener } = options;
    const signals = [this.#context.signal, ...(options.signal ? [options.signal] : [])];
    const signal = AbortSignal.any(signals);
    signal.throwIfAborted();
    await this.prepare(plan);
    const ranks = await this.#groups.group(group, signal);
    const { load, request, parallel } = plan;
    const job = { load, request, parallel, results, timeline, stepLatents };
    return runJob(ranks, 'draw', job, (rank, event) => {
      if (event.type === 'note') this.#tell(event);
      else listener?.(rank, event);
    });
  }

  #tell({ line, topic }: Extract<RankProgress, { type: 'note' }>): void {
    if (topic !== undefined) {
      if (this.#topics.has(topic)) return;
      this.#topics.add(topic);
    }
    this.#context.observer.note(line);
  }
}
