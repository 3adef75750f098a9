import { errorAt } from '../../base/errors.js';
import { asFloats, emptyTensor } from '../../engine/executable.js';
import { HIDDEN_STATES } from '../../parallel/strategies/pipefusion.js';
import type { PatchRows, StagePart, StagePlace } from '../../parallel/strategies/stage-plan.js';
import type { RankRole } from '../../parallel/topology.js';
import type { ProgressListener } from '../../ranks/progress.js';
import type { Scheduler } from '../../schedulers/scheduler.js';
import type { Generator } from '../../tensor/generator.js';
import { createGenerator } from '../../tensor/random.js';
import { cutRows, putRows, type RowRange } from '../../tensor/rows.js';
import { elementCount, float32, type Shape, type Tensor } from '../../tensor/tensor.js';
import { type GenerationRequest, guidanceOf, imageCount } from '../request.js';
import { guidedNoise } from './guided-noise.js';
import { initialLatents, recordSchedule } from './initial-latents.js';
import { type Recorder, recordNoise, recordPacked, stepName } from './recorder.js';
import { type Handed, handedOf, type StageDenoiser } from './stage-denoiser.js';
import {
  latentRows,
  type PassExchange,
  passExchange,
  type StageModel,
  type Taken,
} from './stage-schedule.js';

export interface ImageOptions {
  readonly request: GenerationRequest;
  readonly warmupSteps: number;
  /** Set to the request's timesteps. */
  readonly scheduler: Scheduler;
  readonly listener: ProgressListener;
  readonly record: Recorder;
  /** What this pipeline has done for other images: steps, and passes through this rank's layers. */
  readonly before: { readonly steps: number; readonly passes: number };
}

/** What a trace keeps of a step, on the ranks of the last stage. */
interface TracedStep {
  readonly latents: Float32Array;
  readonly predicted: Float32Array;
}

/** The images of one request on their way through a pipeline, as one rank sees it. */
export class StageImage {
  readonly #stage: StageModel;
  readonly #denoiser: StageDenoiser;
  readonly #options: ImageOptions;
  readonly #place: StagePlace;
  /** `[images, channels, rows, columns]`. */
  readonly #shape: Shape;
  /** Of the prediction of both halves of the guidance. */
  readonly #predictedShape: Shape;
  readonly #latents: Float32Array;
  /** What the model sees of the latents, guidance's copies included. */
  readonly #sample: Tensor<'float32'>;
  readonly #generator: Generator;
  readonly #schedulers = new Map<StagePart, Scheduler>();
  readonly #trace: readonly TracedStep[];
  #noise: { readonly step: number; readonly data: Float32Array } | undefined;
  #passes = 0;

  constructor(stage: StageModel, denoiser: StageDenoiser, options: ImageOptions) {
    const { request, scheduler, record } = options;
    const { model, plan, role, shape } = stage;
    const images = imageCount(request);
    this.#stage = stage;
    this.#denoiser = denoiser;
    this.#options = options;
    this.#place = plan.place(role);
    this.#shape = [images, model.inChannels, shape.rows, shape.columns];
    this.#predictedShape = [
      stage.topology.guided ? 2 * images : images,
      model.blocks.outChannels,
      shape.rows,
      shape.columns,
    ];
    this.#generator = createGenerator(request.rng, request.seed);
    recordSchedule(scheduler, record);
    const recordLatents = recordPacked(record, model);
    const latents = initialLatents(this.#shape, scheduler, this.#generator, record, recordLatents);
    this.#latents = latents.data.slice();
    this.#sample = float32([shape.batch, ...this.#shape.slice(1)]);
    this.#schedulers.set(plan.whole, scheduler);
    this.#trace = request.trace ? Array.from(scheduler.timesteps, () => this.#emptyTrace()) : [];
  }

  /** Passes of parts through this rank's layers so far. */
  get passes(): number {
    return this.#passes;
  }

  /** All steps; the latents are the same on all ranks. */
  async draw(): Promise<Tensor<'float32'>> {
    const { plan } = this.#stage;
    const { scheduler, warmupSteps, listener } = this.#options;
    const steps = scheduler.timesteps.length;
    for (let step = 0; step < steps; step++) {
      for (const [index, part] of plan.partsOf(step, warmupSteps).entries()) {
        const where = this.#describe(step, part, index);
        listener.place?.(where);
        try {
          await this.#pass(step, part, index);
        } catch (error) {
          throw errorAt(`rank ${this.#stage.role.rank}, ${where}`, error);
        }
      }
      // Latents are whole only where all of them pass the last stage.
      const whole = this.#place.stage === plan.stages - 1 && plan.lanes === 1;
      listener.step(step, steps, whole ? float32(this.#shape, this.#latents) : undefined);
    }
    return this.#share();
  }

  #describe(step: number, part: StagePart, index: number): string {
    const { plan } = this.#stage;
    const patch = part === plan.whole ? 'the whole picture' : `patch ${index + 1} of ${plan.bands.length}`;
    const steps = this.#options.scheduler.timesteps.length;
    return `in step ${step + 1} of ${steps}, ${patch}, stage ${this.#place.stage + 1} of ${plan.stages}`;
  }

  /** One part of one step: what this rank's stage takes, computes and hands on. */
  async #pass(step: number, part: StagePart, index: number): Promise<void> {
    const { model, plan } = this.#stage;
    const { scheduler, warmupSteps, before } = this.#options;
    const { timesteps } = scheduler;
    const { stage, lane } = this.#place;
    const tick = before.steps + step;
    const exchange = passExchange(this.#stage, { step, steps: timesteps.length, warmupSteps }, part, index);
    const given =
      stage === 0
        ? await this.#takeSample(step, part, index, exchange)
        : await this.#takeHidden(step, part, index, exchange);
    const timestep = timesteps[step] as number;
    const told = float32([1], Float32Array.of(model.timestepInput?.(timestep) ?? timestep));
    const inputs = { ...given, [model.inputs.timestep]: told };
    const pass = before.passes + this.#passes++;
    // What was kept of the image before is known by its first pass.
    const result = await this.#timed('compute', step, index, () =>
      this.#denoiser.run(part, inputs, { call: step, tick: pass, readTick: before.passes, publish: true }),
    );
    if (exchange.gives.includes('hidden')) this.#denoiser.send('hidden', part, tick, handedOf(result));
    if (stage < plan.stages - 1) return;
    const prediction = asFloats(result);
    const rows = latentRows(
      part === plan.whole ? part : (part.lanes[lane] as PatchRows),
      model.blocks.patchSize,
    );
    const predicted = await this.#timed('gather', step, index, () =>
      this.#gather(tick, part, rows, prediction, exchange),
    );
    const next = await this.#timed('schedule', step, index, async () =>
      this.#advance(step, part, rows, predicted),
    );
    this.#keep(step, rows, next, predicted.data);
    if (exchange.gives.includes('latents')) this.#denoiser.send('latents', part, tick, next);
  }

  /** On the first stage: the model's input, with the latents that the last stage made of the step before. */
  async #takeSample(
    step: number,
    part: StagePart,
    index: number,
    { takes }: PassExchange,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const { model } = this.#stage;
    const { scheduler } = this.#options;
    if (takes) {
      const rows = this.#sentRows(takes.part);
      const data = new Float32Array(elementCount(this.#rowsShape(this.#shape, rows)));
      await this.#timed('receive latents', step, index, () => this.#receive(takes, data));
      putRows(this.#latents, this.#shape, rows, data);
    }
    const rows = latentRows(part.lanes[this.#place.lane] as PatchRows, model.blocks.patchSize);
    const timestep = scheduler.timesteps[step] as number;
    const scaled = scheduler.scaleModelInput(cutRows(this.#latents, this.#shape, rows), timestep, step);
    const { data, shape } = this.#sample;
    const perCopy = elementCount(this.#shape);
    for (let start = 0; start < data.length; start += perCopy) {
      putRows(
        data.subarray(start, start + perCopy),
        [this.#shape[0] as number, ...shape.slice(1)],
        rows,
        scaled,
      );
    }
    return { [model.inputs.sample]: this.#sample };
  }

  /** On all other stages: what the stage before made of the part. */
  async #takeHidden(
    step: number,
    part: StagePart,
    index: number,
    { takes }: PassExchange,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const { model, shape } = this.#stage;
    const { features, patchSize } = model.blocks;
    const tokens = ((part.lanes[this.#place.lane] as PatchRows).rows * shape.columns) / patchSize;
    const dtype = this.#stage.elementType;
    const hidden = emptyTensor({ name: HIDDEN_STATES, dtype, shape: [shape.batch, tokens, features] });
    await this.#timed('receive hidden states', step, index, () =>
      this.#receive(takes as Taken, handedOf(hidden)),
    );
    return { [HIDDEN_STATES]: hidden };
  }

  #receive({ message, part, from, step }: Taken, data: Handed): Promise<void> {
    return this.#denoiser.receive(message, part, this.#options.before.steps + step, from, data);
  }

  /**
   * On the last stage: the prediction of both halves of the guidance for these rows, from all who have part
   * of it.
   */
  async #gather(
    tick: number,
    part: StagePart,
    rows: RowRange,
    own: Tensor<'float32'>,
    { predictors }: PassExchange,
  ): Promise<Tensor<'float32'>> {
    const { model, plan, topology, role, shape } = this.#stage;
    const { patchSize } = model.blocks;
    if (predictors.length === 0) return own;
    const target = this.#rowsShape(this.#predictedShape, rows);
    this.#denoiser.send('prediction', part, tick, own.data);
    const gathered = float32(target);
    for (const owner of predictors) {
      const theirs = latentRows(part.lanes[plan.place(owner).lane] as PatchRows, patchSize);
      const piece = this.#rowsShape([shape.batch, ...own.shape.slice(1)], theirs);
      const data = owner.rank === role.rank ? own.data : new Float32Array(elementCount(piece));
      if (owner.rank !== role.rank) {
        await this.#denoiser.receive('prediction', part, tick, owner.rank, data);
      }
      const half = topology.splitBatch && owner.guidance === 'conditional' ? elementCount(target) / 2 : 0;
      const into = gathered.data.subarray(half, half + shape.batch * elementCount(target.slice(1)));
      const offset = { start: theirs.start - rows.start, rows: theirs.rows };
      putRows(into, [shape.batch, ...target.slice(1)], offset, data);
    }
    return gathered;
  }

  /**
   * Steps the scheduler of these rows; the first step after the warm-up begins where the whole picture's
   * ended.
   */
  #advance(step: number, part: StagePart, rows: RowRange, predicted: Tensor<'float32'>): Float32Array {
    const { request, scheduler } = this.#options;
    const shape = this.#rowsShape(this.#shape, rows);
    let own = this.#schedulers.get(part);
    if (!own) {
      own = scheduler.fork((history) => cutRows(history, this.#shape, rows));
      this.#schedulers.set(part, own);
    }
    const guided = guidedNoise(predicted, shape, guidanceOf(request));
    const sample = cutRows(this.#latents, this.#shape, rows);
    const next = own.step(guided, scheduler.timesteps[step] as number, sample, {
      eta: request.eta,
      noise: () => cutRows(this.#noiseOf(step), this.#shape, rows),
      batch: this.#shape[0] as number,
    });
    putRows(this.#latents, this.#shape, rows, next);
    return next;
  }

  /** Noise is drawn for the whole picture, whatever its bands. */
  #noiseOf(step: number): Float32Array {
    if (this.#noise?.step !== step) {
      this.#noise = { step, data: this.#generator.randn(this.#shape).data };
    }
    return this.#noise.data;
  }

  /** Gives every rank the latents, and the trace where one is asked for, of the ranks of the last stage. */
  async #share(): Promise<Tensor<'float32'>> {
    const { record } = this.#options;
    await this.#broadcast(this.#latents, this.#shape);
    for (const [step, { latents, predicted }] of this.#trace.entries()) {
      await this.#broadcast(latents, this.#shape);
      await this.#broadcast(predicted, this.#predictedShape);
      const { model, topology } = this.#stage;
      recordPacked(record, model)(stepName('latents', step), () => float32(this.#shape, latents));
      recordNoise(record, model, step, float32(this.#predictedShape, predicted), topology.guided);
    }
    return float32(this.#shape, this.#latents);
  }

  /** Of images of which each lane of the last stage has its rows of every band, or all. */
  async #broadcast(images: Float32Array, shape: Shape): Promise<void> {
    const { plan, topology, model } = this.#stage;
    const { communicator } = this.#denoiser;
    if (!communicator) return;
    const first = topology.roles[0] as RankRole;
    const own = images.slice();
    for (let lane = 0; lane < plan.lanes; lane++) {
      const theirs = own.slice();
      await communicator.broadcast(theirs, plan.rankAt(first, { stage: plan.stages - 1, lane }));
      for (const band of plan.bands) {
        const rows = latentRows(band.lanes[lane] as PatchRows, model.blocks.patchSize);
        putRows(images, shape, rows, cutRows(theirs, shape, rows));
      }
    }
  }

  #keep(step: number, rows: RowRange, next: Float32Array, predicted: Float32Array): void {
    const traced = this.#trace[step];
    if (!traced) return;
    putRows(traced.latents, this.#shape, rows, next);
    putRows(traced.predicted, this.#predictedShape, rows, predicted);
  }

  #emptyTrace(): TracedStep {
    return {
      latents: new Float32Array(elementCount(this.#shape)),
      predicted: new Float32Array(elementCount(this.#predictedShape)),
    };
  }

  /** Rows of latents that are sent to the first stage together. */
  #sentRows(part: StagePart): RowRange {
    const { plan, model } = this.#stage;
    const sent = part === plan.whole ? part : (part.lanes[this.#place.lane] as PatchRows);
    return latentRows(sent, model.blocks.patchSize);
  }

  #rowsShape(shape: Shape, { rows }: RowRange): Shape {
    return shape.with(2, rows);
  }

  /** Does something and notes how long it took. */
  async #timed<T>(what: string, step: number, index: number, work: () => Promise<T>): Promise<T> {
    const { listener } = this.#options;
    if (!listener.span) return work();
    const end = listener.span(what, { step, patch: index });
    const result = await work();
    end();
    return result;
  }
}
