import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import {
  type AutoencoderKLConfig,
  readAutoencoderKLConfig,
  vaeScaleFactor,
} from '../models/autoencoder-kl.js';
import { readCLIPTextConfig } from '../models/clip-text.js';
import type { CommunicatorStatistics } from '../native/addon.js';
import { loadAddon } from '../native/load.js';
import { DistriError } from '../runtime/errors.js';
import type { RankContext } from '../runtime/rank-context.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import { type Conditioning, negativePrompts, repeatRows, zerosLike } from './conditioning.js';
import { DenoisingLoop, type LatentSize, type Recorder } from './denoising-loop.js';
import { LatentDecoder, toPixels } from './latent-decoder.js';
import type {
  Generation,
  GenerationRequest,
  LoadOptions,
  ParallelOptions,
  Pipeline,
  ProgressListener,
} from './request.js';
import { type PromptEmbeds, SDXLTextEncoders } from './sdxl-text.js';
import { placeVae } from './vae-placement.js';

/** Parts that only the first rank loads: it encodes the text for all. */
interface FirstRankParts {
  readonly text: SDXLTextEncoders;
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
export class StableDiffusionXLPipeline implements Pipeline {
  readonly #checkpoint: Checkpoint;
  readonly #loop: DenoisingLoop;
  readonly #first: FirstRankParts | undefined;
  /** On ranks that take part in decoding. */
  readonly #decoder: LatentDecoder | undefined;
  readonly #sizes: EmbedSizes;

  private constructor(
    checkpoint: Checkpoint,
    loop: DenoisingLoop,
    first: FirstRankParts | undefined,
    decoder: LatentDecoder | undefined,
    sizes: EmbedSizes,
  ) {
    this.#checkpoint = checkpoint;
    this.#loop = loop;
    this.#first = first;
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
  ): Promise<StableDiffusionXLPipeline> {
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
      ranks.rank === 0 ? { text: await SDXLTextEncoders.load(addon, checkpoint, executable) } : undefined;
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
        if (request.outputType === 'latent') return;
        const placement = placeVae(options.vae, ranks, slots);
        if (placement) decoder = await LatentDecoder.prepare(checkpoint, vae, latent, placement);
      },
    });
    await decoder?.load(addon, { ...executable, communicator: loop.communicator });
    listener.phase('load', 'end');
    return new StableDiffusionXLPipeline(checkpoint, loop, first, decoder, sizes);
  }

  async generate(request: GenerationRequest, listener: ProgressListener): Promise<Generation> {
    const trace: Record<string, Tensor> = {};
    const record = (name: string, make: () => Tensor) => {
      if (request.trace && this.#first) trace[name] = make();
    };

    listener.phase('text', 'start');
    const conditioning = await this.#encodePrompt(request, record);
    await this.#loop.beginSdxl(request, conditioning, record);
    listener.phase('text', 'end');

    listener.phase('denoise', 'start');
    const latents = await this.#loop.run(request, listener, record);
    record('final_latents', () => latents);
    listener.phase('denoise', 'end');

    const images = await this.#decode(latents, listener, record);
    return { latents, ...(images ? { images } : {}), ...(request.trace && this.#first ? { trace } : {}) };
  }

  statistics(): CommunicatorStatistics | undefined {
    return this.#loop.communicator?.statistics();
  }

  async close(): Promise<void> {
    this.#decoder?.release();
    this.#loop.release();
    this.#first?.text.release();
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
    if (!this.#loop.topology.guided) return { positive, negative: undefined };
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
    await this.#loop.communicator?.broadcast(embeds.embeds.data, 0);
    await this.#loop.communicator?.broadcast(embeds.pooled.data, 0);
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

function latentSize({ height, width }: GenerationRequest, vae: AutoencoderKLConfig): LatentSize {
  const factor = vaeScaleFactor(vae);
  return { rows: Math.floor(height / factor), columns: Math.floor(width / factor) };
}
