import type { GridSize } from '../base/sizes.js';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import type { CommunicatorStatistics } from '../engine/addon.js';
import { loadAddon } from '../engine/load.js';
import { readPicture } from '../images/picture.js';
import {
  type AutoencoderKLConfig,
  readAutoencoderKLConfig,
  vaeScaleFactor,
} from '../models/autoencoder-kl.js';
import { type Conditioning, negativePrompts, repeatRows, zerosLike } from '../pipelines/conditioning.js';
import { DenoisingLoop, type Recorder } from '../pipelines/denoise/step-loop.js';
import type {
  Generation,
  GenerationRequest,
  LoadOptions,
  ParallelOptions,
  Pipeline,
  ProgressListener,
} from '../pipelines/request.js';
import {
  type EmbedSizes,
  type PromptEmbeds,
  readEmbedSizes,
  TextEncoders,
} from '../pipelines/text/prompt-embeds.js';
import { LatentDecoder, toPixels } from '../pipelines/vae/decoder.js';
import { fromPixels, LatentEncoder, sampleLatents, scaleLatents } from '../pipelines/vae/encoder.js';
import { onlyRankPlacement, placeVae, type VaePlacement } from '../pipelines/vae/placement.js';
import type { RankContext } from '../ranks/rank-context.js';
import type { Generator } from '../tensor/generator.js';
import { float32, type Tensor, uint8 } from '../tensor/tensor.js';

/** Parts that only the first rank loads: it encodes the text for all. */
interface FirstRankParts {
  readonly text: TextEncoders;
}

/**
 * Text to image with a checkpoint of Stable Diffusion or SDXL on one or many ranks, as diffusers' StableDiffusionPipeline (without its
 * safety checker) and StableDiffusionXLPipeline. Every rank runs the same loop on the same latents; what differs is the share of the UNet that it computes.
 */
export class StableDiffusionPipeline implements Pipeline {
  readonly #checkpoint: Checkpoint;
  readonly #loop: DenoisingLoop;
  readonly #first: FirstRankParts | undefined;
  readonly #vae: AutoencoderKLConfig;
  /** On ranks that take part in encoding a picture. */
  readonly #encoder: LatentEncoder | undefined;
  /** On ranks that take part in decoding. */
  readonly #decoder: LatentDecoder | undefined;
  readonly #sizes: EmbedSizes;

  private constructor(
    checkpoint: Checkpoint,
    vae: AutoencoderKLConfig,
    loop: DenoisingLoop,
    first: FirstRankParts | undefined,
    encoder: LatentEncoder | undefined,
    decoder: LatentDecoder | undefined,
    sizes: EmbedSizes,
  ) {
    this.#checkpoint = checkpoint;
    this.#loop = loop;
    this.#first = first;
    this.#vae = vae;
    this.#encoder = encoder;
    this.#decoder = decoder;
    this.#sizes = sizes;
  }

  /** Builds everything for requests of this one's size, number of images and guidance. Waits for the other ranks. */
  static async load(
    options: LoadOptions,
    ranks: RankContext,
    request: GenerationRequest,
    parallel: ParallelOptions,
    listener: ProgressListener,
  ): Promise<StableDiffusionPipeline> {
    listener.phase('load', 'start');
    const addon = loadAddon();
    const checkpoint = await openCheckpoint(options.directory, { variant: options.variant });
    const vae = readAutoencoderKLConfig(await checkpoint.config('vae'));
    const sizes = await readEmbedSizes(checkpoint);
    const latent = latentSize(request, vae);
    const executable = {
      threads: options.threads,
      weights: options.weights,
      rank: ranks.rank,
      communicator: undefined,
    };
    const first =
      ranks.rank === 0 ? { text: await TextEncoders.load(addon, checkpoint, executable) } : undefined;
    let encoder: LatentEncoder | undefined;
    let decoder: LatentDecoder | undefined;
    const loop = await DenoisingLoop.load(request, {
      addon,
      source: checkpoint,
      load: options,
      ranks,
      parallel,
      latent,
      textTokens: sizes.tokens,
      reserve: async (slots) => {
        const placement = placeVae(options.vae, ranks, slots);
        if (request.initImage) encoder = await prepareEncoder(checkpoint, vae, request, placement, ranks);
        if (placement && request.outputType === 'pil')
          decoder = await LatentDecoder.prepare(checkpoint, vae, latent, placement);
      },
    });
    await encoder?.load(addon, { ...executable, communicator: loop.communicator });
    await decoder?.load(addon, { ...executable, communicator: loop.communicator });
    listener.phase('load', 'end');
    return new StableDiffusionPipeline(checkpoint, vae, loop, first, encoder, decoder, sizes);
  }

  async generate(request: GenerationRequest, listener: ProgressListener): Promise<Generation> {
    const trace: Record<string, Tensor> = {};
    const record = (name: string, make: () => Tensor) => {
      if (request.trace && this.#first) trace[name] = make();
    };

    listener.phase('text', 'start');
    const conditioning = await this.#encodePrompt(request, record);
    await this.#loop.beginUNet(request, conditioning, record);
    listener.phase('text', 'end');

    const latents = await this.#loop.run(request, listener, record, this.#imageEncoder(request, record));
    record('final_latents', () => latents);

    const images = await this.#decode(latents, listener, record);
    return { latents, ...(images ? { images } : {}), ...(request.trace && this.#first ? { trace } : {}) };
  }

  statistics(): CommunicatorStatistics | undefined {
    return this.#loop.communicator?.statistics();
  }

  async close(): Promise<void> {
    this.#encoder?.release();
    this.#decoder?.release();
    this.#loop.release();
    this.#first?.text.release();
  }

  /** Draws a sample of the latents of the request's picture, the same on all ranks. */
  #imageEncoder(request: GenerationRequest, record: Recorder) {
    const { initImage, height, width } = request;
    if (initImage === undefined) return undefined;
    return async (generator: Generator): Promise<Tensor<'float32'>> => {
      const { rows, columns } = latentSize(request, this.#vae);
      const noise = generator.randn([1, this.#vae.latentChannels, rows, columns]);
      record('posterior_noise', () => noise);
      const pixels = this.#encoder && (await readPicture(initImage.path, { height, width }));
      const distribution = pixels && (await this.#encoder?.encode(fromPixels(pixels)));
      if (distribution) {
        record('init_image_uint8', () => uint8(pixels.shape.slice(1), pixels.data));
        record('posterior_mean', () => distribution.mean);
        record('posterior_logvar', () => distribution.logvar);
      }
      const latents = distribution
        ? scaleLatents(sampleLatents(distribution, noise), this.#vae)
        : float32(noise.shape);
      await this.#loop.communicator?.broadcast(latents.data, 0);
      return latents;
    };
  }

  /** The text encoders run on the first rank; the others are sent the embeddings. */
  async #encodePrompt(request: GenerationRequest, record: Recorder): Promise<Conditioning> {
    const count = request.prompt.length;
    const guided = this.#loop.topology.guided;
    const encoded = this.#first ? await this.#encodeTexts(this.#first.text, request, record) : undefined;
    const positive = await this.#share(encoded?.positive, count);
    const negative = guided ? await this.#share(encoded?.negative, count) : undefined;
    const repeat = (embeds: PromptEmbeds): PromptEmbeds => ({
      embeds: repeatRows(embeds.embeds, request.numImagesPerPrompt),
      pooled: embeds.pooled && repeatRows(embeds.pooled, request.numImagesPerPrompt),
    });
    const conditioning = { positive: repeat(positive), negative: negative ? repeat(negative) : undefined };
    recordEmbeds('', conditioning.positive, record);
    if (conditioning.negative) recordEmbeds('negative_', conditioning.negative, record);
    return conditioning;
  }

  async #encodeTexts(
    text: TextEncoders,
    request: GenerationRequest,
    record: Recorder,
  ): Promise<Conditioning> {
    const positive = await text.encode(request.prompt);
    for (const [name, ids] of Object.entries(positive.ids)) record(name, () => ids);
    if (!this.#loop.topology.guided) return { positive, negative: undefined };
    if (request.negativePrompt.length === 0 && this.#zeroesEmptyPrompt) {
      const { embeds, pooled } = positive;
      return { positive, negative: { embeds: zerosLike(embeds), pooled: pooled && zerosLike(pooled) } };
    }
    const negative = await text.encode(negativePrompts(request));
    for (const [name, ids] of Object.entries(negative.ids)) record(`negative_${name}`, () => ids);
    return { positive, negative };
  }

  /** SDXL's checkpoints have zeros for an empty negative prompt, unless they say otherwise. */
  get #zeroesEmptyPrompt(): boolean {
    const { pipelineClass, modelIndex } = this.#checkpoint;
    return pipelineClass === 'StableDiffusionXLPipeline' && modelIndex.force_zeros_for_empty_prompt !== false;
  }

  /** The first rank's embeddings of `count` texts, on every rank. */
  async #share(own: PromptEmbeds | undefined, count: number): Promise<PromptEmbeds> {
    const { tokens, features, pooled } = this.#sizes;
    const embeds = own ?? {
      embeds: float32([count, tokens, features]),
      pooled: pooled === undefined ? undefined : float32([count, pooled]),
    };
    await this.#loop.communicator?.broadcast(embeds.embeds.data, 0);
    if (embeds.pooled) await this.#loop.communicator?.broadcast(embeds.pooled.data, 0);
    return embeds;
  }

  async #decode(
    latents: Tensor<'float32'>,
    listener: ProgressListener,
    record: Recorder,
  ): Promise<Tensor<'uint8'> | undefined> {
    if (!this.#decoder) return undefined;
    listener.phase('decode', 'start');
    const decoded = await this.#decoder.decode(latents);
    const images = decoded ? toPixels(decoded) : undefined;
    if (decoded && images) {
      record('decoded', () => decoded);
      record('image_uint8', () => images);
    }
    listener.phase('decode', 'end');
    return images;
  }
}

function recordEmbeds(prefix: string, { embeds, pooled }: PromptEmbeds, record: Recorder): void {
  record(`${prefix}prompt_embeds`, () => embeds);
  if (pooled) record(`${prefix}pooled_prompt_embeds`, () => pooled);
}

/**
 * The encoder of the picture to begin with: in tiles as the VAE is placed, or else whole on the first rank, whatever the number of ranks, so that all of
 * them begin as diffusers does.
 */
async function prepareEncoder(
  checkpoint: Checkpoint,
  vae: AutoencoderKLConfig,
  { height, width }: GenerationRequest,
  placement: VaePlacement | undefined,
  { rank }: RankContext,
): Promise<LatentEncoder | undefined> {
  const size = { height, width };
  if (placement?.tilePixels !== undefined) return LatentEncoder.prepare(checkpoint, vae, size, placement);
  return rank === 0 ? LatentEncoder.prepare(checkpoint, vae, size, onlyRankPlacement(), 'torch') : undefined;
}

function latentSize({ height, width }: GenerationRequest, vae: AutoencoderKLConfig): GridSize {
  const factor = vaeScaleFactor(vae);
  return { rows: Math.floor(height / factor), columns: Math.floor(width / factor) };
}
