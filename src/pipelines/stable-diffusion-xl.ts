import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import {
  type AutoencoderKLConfig,
  readAutoencoderKLConfig,
  vaeScaleFactor,
} from '../models/autoencoder-kl.js';
import { readCLIPTextConfig } from '../models/clip-text.js';
import type { Addon } from '../native/addon.js';
import { loadAddon } from '../native/load.js';
import { DistriError } from '../runtime/errors.js';
import type { ExecutableOptions } from '../runtime/executable.js';
import type { RankContext } from '../runtime/rank-context.js';
import { planTopology, type RankRole, type Topology } from '../runtime/topology.js';
import { createScheduler } from '../schedulers/create.js';
import type { Scheduler } from '../schedulers/scheduler.js';
import { createGenerator, type Generator } from '../tensor/random.js';
import { float32, int64, type Tensor } from '../tensor/tensor.js';
import { batchSize, type Conditioning, ownRows, repeatRows, tileRows, zerosLike } from './conditioning.js';
import { Denoiser } from './denoiser.js';
import { LatentDecoder, toPixels } from './latent-decoder.js';
import type {
  Generation,
  GenerationRequest,
  LoadOptions,
  ParallelOptions,
  ProgressListener,
} from './request.js';
import { type PromptEmbeds, SDXLTextEncoders } from './sdxl-text.js';

/** Parts that only the first rank loads: it encodes the text for all and decodes the picture. */
interface FirstRankParts {
  readonly text: SDXLTextEncoders;
  readonly decoder: LatentDecoder | undefined;
}

/** Sizes that a text embedding has in this checkpoint. */
interface EmbedSizes {
  readonly tokens: number;
  readonly features: number;
  readonly pooled: number;
}

/**
 * Text to image with an SDXL checkpoint on one or many ranks, as diffusers' StableDiffusionXLPipeline. Every rank runs the same
 * loop on the same latents; what differs is the share of the UNet that it computes.
 */
export class StableDiffusionXLPipeline {
  readonly #checkpoint: Checkpoint;
  readonly #ranks: RankContext;
  readonly #topology: Topology;
  readonly #denoiser: Denoiser;
  readonly #first: FirstRankParts | undefined;
  readonly #vae: AutoencoderKLConfig;
  readonly #sizes: EmbedSizes;

  private constructor(
    checkpoint: Checkpoint,
    ranks: RankContext,
    topology: Topology,
    denoiser: Denoiser,
    first: FirstRankParts | undefined,
    vae: AutoencoderKLConfig,
    sizes: EmbedSizes,
  ) {
    this.#checkpoint = checkpoint;
    this.#ranks = ranks;
    this.#topology = topology;
    this.#denoiser = denoiser;
    this.#first = first;
    this.#vae = vae;
    this.#sizes = sizes;
  }

  /** Builds everything for requests of this one's size, number of images and guidance. Waits for the other ranks. */
  static async load(
    options: LoadOptions,
    ranks: RankContext,
    request: GenerationRequest,
    parallel: ParallelOptions,
    listener: ProgressListener,
  ): Promise<StableDiffusionXLPipeline> {
    listener.phase('load', 'start');
    const addon = loadAddon();
    const checkpoint = await openCheckpoint(options.directory, { variant: options.variant });
    const vae = readAutoencoderKLConfig(await checkpoint.config('vae'));
    const sizes = await readEmbedSizes(checkpoint);
    const topology = planTopology({
      worldSize: ranks.worldSize,
      guided: request.guidanceScale > 1,
      splitBatch: parallel.splitBatch,
    });
    const latent = latentSize(request, vae);
    const executable = {
      threads: options.threads,
      weights: options.weights,
      rank: ranks.rank,
      communicator: undefined,
    };
    const first =
      ranks.rank === 0
        ? await loadFirstRankParts(addon, checkpoint, vae, request, latent, executable)
        : undefined;
    const batch = batchSize(imageCount(request), topology);
    const shape = { batch, ...latent, textTokens: sizes.tokens };
    const denoiser = await Denoiser.load(addon, checkpoint, options, ranks, topology, parallel, shape);
    listener.phase('load', 'end');
    return new StableDiffusionXLPipeline(checkpoint, ranks, topology, denoiser, first, vae, sizes);
  }

  async generate(request: GenerationRequest, listener: ProgressListener): Promise<Generation> {
    const trace: Record<string, Tensor> = {};
    const record = (name: string, make: () => Tensor) => {
      if (request.trace && this.#first) trace[name] = make();
    };

    listener.phase('text', 'start');
    const conditioning = await this.#encodePrompt(request, record);
    await this.#beginImage(request, conditioning, record);
    listener.phase('text', 'end');

    listener.phase('denoise', 'start');
    const latents = await this.#denoise(request, listener, record);
    record('final_latents', () => latents);
    listener.phase('denoise', 'end');

    const images = await this.#decode(latents, listener, record);
    return { latents, ...(images ? { images } : {}), ...(request.trace && this.#first ? { trace } : {}) };
  }

  async close(): Promise<void> {
    this.#denoiser.release();
    this.#first?.text.release();
    this.#first?.decoder?.release();
  }

  get #role(): RankRole {
    return this.#topology.roles[this.#ranks.rank] as RankRole;
  }

  /** The text encoders run on the first rank; the others are sent the embeddings. */
  async #encodePrompt(request: GenerationRequest, record: Recorder): Promise<Conditioning> {
    const count = request.prompt.length;
    const guided = this.#topology.guided;
    const encoded = this.#first ? await this.#encodeTexts(this.#first.text, request, record) : undefined;
    const positive = await this.#share(encoded?.positive, count);
    const negative = guided ? await this.#share(encoded?.negative, count) : undefined;
    const repeat = (embeds: PromptEmbeds): PromptEmbeds => ({
      embeds: repeatRows(embeds.embeds, request.numImagesPerPrompt),
      pooled: repeatRows(embeds.pooled, request.numImagesPerPrompt),
    });
    const conditioning = { positive: repeat(positive), negative: negative ? repeat(negative) : undefined };
    record('prompt_embeds', () => conditioning.positive.embeds);
    record('pooled_prompt_embeds', () => conditioning.positive.pooled);
    if (conditioning.negative) {
      const { embeds, pooled } = conditioning.negative;
      record('negative_prompt_embeds', () => embeds);
      record('negative_pooled_prompt_embeds', () => pooled);
    }
    return conditioning;
  }

  async #encodeTexts(
    text: SDXLTextEncoders,
    request: GenerationRequest,
    record: Recorder,
  ): Promise<Conditioning> {
    const positive = await text.encode(request.prompt);
    record('input_ids', () => positive.ids);
    record('input_ids_2', () => positive.ids2);
    if (!this.#topology.guided) return { positive, negative: undefined };
    if (
      request.negativePrompt.length === 0 &&
      this.#checkpoint.modelIndex.force_zeros_for_empty_prompt !== false
    ) {
      return {
        positive,
        negative: { embeds: zerosLike(positive.embeds), pooled: zerosLike(positive.pooled) },
      };
    }
    const negative = await text.encode(negativePrompts(request));
    record('negative_input_ids', () => negative.ids);
    record('negative_input_ids_2', () => negative.ids2);
    return { positive, negative };
  }

  /** The first rank's embeddings of `count` texts, on every rank. */
  async #share(own: PromptEmbeds | undefined, count: number): Promise<PromptEmbeds> {
    const { tokens, features, pooled } = this.#sizes;
    const embeds = own ?? {
      embeds: float32([count, tokens, features]),
      pooled: float32([count, pooled]),
    };
    await this.#denoiser.communicator?.broadcast(embeds.embeds.data, 0);
    await this.#denoiser.communicator?.broadcast(embeds.pooled.data, 0);
    return embeds;
  }

  async #beginImage(request: GenerationRequest, conditioning: Conditioning, record: Recorder): Promise<void> {
    const { height, width } = request;
    const sizes = float32([1, 6], Float32Array.of(height, width, 0, 0, height, width));
    const batch = batchSize(imageCount(request), this.#topology);
    record('add_time_ids', () => tileRows(sizes, imageCount(request) * (this.#topology.guided ? 2 : 1)));
    await this.#denoiser.begin({
      encoderHiddenStates: ownRows(conditioning, 'embeds', this.#role),
      textEmbeds: ownRows(conditioning, 'pooled', this.#role),
      timeIds: tileRows(sizes, batch),
    });
  }

  async #denoise(
    request: GenerationRequest,
    listener: ProgressListener,
    record: Recorder,
  ): Promise<Tensor<'float32'>> {
    const scheduler = createScheduler(request.scheduler, await this.#checkpoint.config('scheduler'));
    scheduler.setTimesteps(request.numInferenceSteps);
    const generator = createGenerator(request.rng, request.seed);
    let latents = this.#initialLatents(request, scheduler, generator, record);
    const draw = (step: number) => () => {
      const noise = generator.randn(latents.shape);
      record(`step_noise_${index3(step)}`, () => noise);
      return noise.data;
    };
    for (const [step, timestep] of scheduler.timesteps.entries()) {
      const guided = await this.#predict(latents, scheduler, timestep, step, request.guidanceScale, record);
      const next = scheduler.step(guided, timestep, latents.data, {
        eta: request.eta,
        noise: draw(step),
        batch: imageCount(request),
      });
      latents = float32(latents.shape, next);
      record(`latents_${index3(step)}`, () => float32(latents.shape, next.slice()));
      listener.step(step, scheduler.timesteps.length);
    }
    return latents;
  }

  #initialLatents(
    request: GenerationRequest,
    scheduler: Scheduler,
    generator: Generator,
    record: Recorder,
  ): Tensor<'float32'> {
    const { rows, columns } = latentSize(request, this.#vae);
    const noise = generator.randn([imageCount(request), this.#denoiser.config.inChannels, rows, columns]);
    const latents = float32(
      noise.shape,
      noise.data.map((value) => value * scheduler.initNoiseSigma),
    );
    record('init_noise', () => noise);
    record('init_latents', () => latents);
    record('timesteps', () => timestepTensor(scheduler));
    const { sigmas } = scheduler;
    if (sigmas) record('sigmas', () => float32([sigmas.length], sigmas.slice()));
    return latents;
  }

  /** The guided noise prediction of one step. */
  async #predict(
    latents: Tensor<'float32'>,
    scheduler: Scheduler,
    timestep: number,
    step: number,
    guidanceScale: number,
    record: Recorder,
  ): Promise<Float32Array> {
    const scaled = float32(latents.shape, scheduler.scaleModelInput(latents.data, timestep));
    const copies = this.#topology.guided && !this.#topology.splitBatch ? 2 : 1;
    const predicted = await this.#denoiser.predictNoise(
      copies === 2 ? tileRows(scaled, 2) : scaled,
      timestep,
    );
    record(`noise_pred_${index3(step)}`, () => float32(predicted.shape, predicted.data.slice()));
    if (!this.#topology.guided) return predicted.data.slice();
    return guide(predicted.data, guidanceScale);
  }

  async #decode(
    latents: Tensor<'float32'>,
    listener: ProgressListener,
    record: Recorder,
  ): Promise<Tensor<'uint8'> | undefined> {
    const decoder = this.#first?.decoder;
    if (!decoder) return undefined;
    listener.phase('decode', 'start');
    const decoded = await decoder.decode(latents);
    record('decoded', () => decoded);
    const images = toPixels(decoded);
    record('image_uint8', () => images);
    listener.phase('decode', 'end');
    return images;
  }
}

type Recorder = (name: string, make: () => Tensor) => void;

async function loadFirstRankParts(
  addon: Addon,
  checkpoint: Checkpoint,
  vae: AutoencoderKLConfig,
  request: GenerationRequest,
  latent: { rows: number; columns: number },
  options: ExecutableOptions,
): Promise<FirstRankParts> {
  const text = await SDXLTextEncoders.load(addon, checkpoint, options);
  const decoder =
    request.outputType === 'latent'
      ? undefined
      : await LatentDecoder.load(addon, checkpoint, vae, latent, options);
  return { text, decoder };
}

async function readEmbedSizes(checkpoint: Checkpoint): Promise<EmbedSizes> {
  const first = readCLIPTextConfig('text_encoder', await checkpoint.config('text_encoder'));
  const second = readCLIPTextConfig('text_encoder_2', await checkpoint.config('text_encoder_2'));
  if (second.projectionDim === undefined) {
    throw new DistriError(
      'checkpoint',
      `text_encoder_2/config.json: SDXL needs a CLIPTextModelWithProjection in architectures`,
    );
  }
  return {
    tokens: first.maxPositions,
    features: first.hiddenSize + second.hiddenSize,
    pooled: second.projectionDim,
  };
}

function latentSize(
  { height, width }: GenerationRequest,
  vae: AutoencoderKLConfig,
): { rows: number; columns: number } {
  const factor = vaeScaleFactor(vae);
  return { rows: Math.floor(height / factor), columns: Math.floor(width / factor) };
}

function imageCount(request: GenerationRequest): number {
  return request.prompt.length * request.numImagesPerPrompt;
}

/** One negative text per prompt; a single one goes for all, none means the empty text. */
function negativePrompts({ prompt, negativePrompt }: GenerationRequest): readonly string[] {
  if (negativePrompt.length === prompt.length) return negativePrompt;
  if (negativePrompt.length <= 1) return prompt.map(() => negativePrompt[0] ?? '');
  throw new DistriError(
    'usage',
    `${negativePrompt.length} negative prompts do not fit ${prompt.length} prompts: give one for all, or one for each`,
  );
}

/** Classifier-free guidance: `[unconditional…, conditional…]` -> `u + scale * (c - u)`. */
function guide(predicted: Float32Array, scale: number): Float32Array {
  const half = predicted.length / 2;
  const guided = new Float32Array(half);
  for (let i = 0; i < half; i++) {
    const unconditional = predicted[i] as number;
    guided[i] = unconditional + scale * ((predicted[half + i] as number) - unconditional);
  }
  return guided;
}

function timestepTensor({ timesteps, timestepsDtype }: Scheduler): Tensor {
  const shape = [timesteps.length];
  return timestepsDtype === 'int64'
    ? int64(
        shape,
        BigInt64Array.from(timesteps, (value) => BigInt(value)),
      )
    : float32(shape, Float32Array.from(timesteps));
}

function index3(step: number): string {
  return String(step).padStart(3, '0');
}
