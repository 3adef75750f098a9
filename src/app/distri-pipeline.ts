import { embeddedModel } from '../base/package.js';
import type { DrawReport } from '../jobs/draw.js';
import type { Tensor } from '../tensor/tensor.js';
import { type Observer, silent } from './observer.js';
import type { DrawCall, ModelOptions, SetupOptions } from './options.js';
import { Pipeline } from './pipeline.js';
import type { DrawPlan } from './plan-drawing.js';

/** How `DistriPipeline.fromPretrained` loads a model and spreads it. */
export interface FromPretrainedOptions extends ModelOptions, SetupOptions {
  /** Told of downloads, conversions and what is worth knowing; by default nobody is. */
  readonly observer?: Observer | undefined;
  /** When it is aborted the pipeline's ranks end, and with them what they do. */
  readonly signal?: AbortSignal | undefined;
}

/** A step of a call. */
export interface StepEvent {
  /** From 0. */
  readonly step: number;
  /** Of the call: how often the model is asked. */
  readonly steps: number;
  /**
   * `[images, channels, rows, columns]` after the step, where the call asks for them with `stepLatents`.
   * Undefined with PipeFusion whose stages have several ranks: no rank has them whole.
   */
  readonly latents: Tensor<'float32'> | undefined;
}

/** What a call draws, and what is told of it on the way. */
export interface PipelineCall extends DrawCall {
  /** Called after each denoising step. What it throws ends the call. */
  readonly onStep?: ((event: StepEvent) => void) | undefined;
  /** Give `onStep` the latents, which are sent from a rank: some milliseconds a step for large pictures. */
  readonly stepLatents?: boolean | undefined;
  /** Ends the call, which then rejects with the signal's reason. The next call starts the ranks again. */
  readonly signal?: AbortSignal | undefined;
}

/** A picture as sharp takes it: `sharp(picture.data, { raw: picture.info })`. */
export interface Picture {
  /** Rows of pixels, three bytes each: red, green, blue. */
  readonly data: Uint8Array;
  /** What sharp calls `raw`: how `data` is laid out. */
  readonly info: {
    /** Pixels in a row. */
    readonly width: number;
    /** Rows. */
    readonly height: number;
    /** No alpha: models draw opaque pictures. */
    readonly channels: 3;
  };
  /** That of the batch which this picture is of. */
  readonly prompt: string;
}

/** What a call has drawn. */
export interface PipelineOutput {
  /** Empty with `outputType: 'latent'`. */
  readonly images: readonly Picture[];
  /** `[images, channels, rows, columns]`, before the division by the VAE's scaling factor. */
  readonly latents: Tensor<'float32'>;
  /** With `trace`: tensors named as in diffusers (init_noise, noise_pred_000, latents_000, …). */
  readonly trace: Readonly<Record<string, Tensor>> | undefined;
  /** What was done, as it was planned. */
  readonly plan: DrawPlan;
  /** How it went on each rank of the group that drew, by rank; milliseconds. */
  readonly reports: readonly DrawReport[];
}

/**
 * A model on its ranks. Call it to draw: `await pipeline({ prompt: 'a red heart' })`. Calls wait for each
 * other; with `dataParallel` as many run at a time as there are groups. Models are loaded by the first call
 * that needs them and stay. A call that fails leaves the pipeline usable: ranks that died are started again
 * by the next.
 */
export interface DistriPipeline extends AsyncDisposable {
  /**
   * Draws. Rejects with a `DistriError`: `usage` and `unsupported` for what can't be done (before anything
   * expensive), `checkpoint` for damaged files, `rank`, `timeout` and `native` for what failed on the way; or
   * with the reason of an aborted signal.
   */
  (call?: PipelineCall): Promise<PipelineOutput>;
  /** What ranks would do for a call: sizes, strategy, who has what. Refuses what can't be done. */
  plan(call?: DrawCall): Promise<DrawPlan>;
  /** Ends the ranks and frees their memory; resolves when they are gone. A later call starts them again. */
  dispose(): Promise<void>;
}

/** Opens pipelines, as diffusers' `DiffusionPipeline` does. */
export const DistriPipeline = {
  /**
   * Opens a model: a folder in diffusers' layout, an id of the Hugging Face hub (downloaded where it is
   * missing), or with `randomWeights` the name of an architecture. By default the small model that comes with
   * the package. Ranks are started by the first call. Rejects with a `DistriError`: `usage` for a setup that
   * can't be, `checkpoint` and `network` for a model that can't be had or is of no kind that is known,
   * `native` where the addon or ONNX Runtime can't be loaded.
   */
  async fromPretrained(
    model: string = embeddedModel,
    options: FromPretrainedOptions = {},
  ): Promise<DistriPipeline> {
    const { observer = silent, signal = new AbortController().signal, ...setup } = options;
    return callable(await Pipeline.open(model, setup, { observer, signal }));
  },
};

/** A pipeline as a function with methods, as Python's are objects that can be called. */
function callable(pipeline: Pipeline): DistriPipeline {
  const lanes = new Lanes(pipeline.groups);
  const dispose = () => pipeline.close();
  const draw = async (call: PipelineCall = {}): Promise<PipelineOutput> => {
    const plan = await pipeline.plan(call);
    return lanes.use((group) => drawOn(pipeline, plan, call, group));
  };
  return Object.assign(draw, {
    plan: (call: DrawCall = {}) => pipeline.plan(call),
    dispose,
    [Symbol.asyncDispose]: dispose,
  });
}

async function drawOn(
  pipeline: Pipeline,
  plan: DrawPlan,
  { onStep, stepLatents = false, signal }: PipelineCall,
  group: number,
): Promise<PipelineOutput> {
  const stop = new AbortController();
  const signals = [stop.signal, ...(signal ? [signal] : [])];
  let reported = -1;
  try {
    const reports = await pipeline.run(plan, {
      results: { kind: 'buffers' },
      group,
      stepLatents,
      signal: AbortSignal.any(signals),
      listener: (rank, event) => {
        // Whoever has the latents speaks for all.
        const speaks = stepLatents ? event.type === 'step' && (event.latents ?? rank === 0) : rank === 0;
        if (event.type !== 'step' || !speaks || event.step <= reported) return;
        reported = event.step;
        const { step, steps, latents } = event;
        try {
          onStep?.({ step, steps, latents });
        } catch (error) {
          stop.abort(error);
        }
      },
    });
    return output(plan, reports);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw stop.signal.aborted ? stop.signal.reason : error;
  }
}

function output(plan: DrawPlan, reports: readonly DrawReport[]): PipelineOutput {
  const generation = reports[0]?.generation;
  if (generation === undefined) throw new Error('the first rank has no result');
  const { images, latents, trace } = generation;
  return {
    images: images === undefined ? [] : pictures(images, plan),
    latents,
    trace,
    plan,
    reports: reports.map(({ generation: _, ...report }) => report),
  };
}

/** One for each of `[images, height, width, 3]`. */
function pictures({ shape, data }: Tensor<'uint8'>, { request }: DrawPlan): readonly Picture[] {
  const [count, height, width] = shape as readonly [number, number, number, number];
  const size = height * width * 3;
  return Array.from({ length: count }, (_, index) => ({
    data: data.subarray(index * size, (index + 1) * size),
    info: { width, height, channels: 3 },
    prompt: request.prompt[Math.floor(index / request.numImagesPerPrompt)] as string,
  }));
}

/** Hands out the groups of ranks: a call takes whichever is free first. */
class Lanes {
  readonly #free: number[];
  readonly #waiting: ((lane: number) => void)[] = [];

  constructor(count: number) {
    this.#free = Array.from({ length: count }, (_, lane) => lane);
  }

  async use<T>(work: (lane: number) => Promise<T>): Promise<T> {
    const lane = this.#free.shift() ?? (await new Promise<number>((resolve) => this.#waiting.push(resolve)));
    try {
      return await work(lane);
    } finally {
      const next = this.#waiting.shift();
      if (next) next(lane);
      else this.#free.push(lane);
    }
  }
}
