import { expected } from '../base/errors.js';
import type { GridSize, PictureSize } from '../base/sizes.js';
import { type Checkpoint, openCheckpoint, requirePipelineClass } from '../checkpoint/checkpoint.js';
import type { CommunicatorStatistics } from '../engine/addon.js';
import { loadAddon } from '../engine/load.js';
import { readAutoencoderKLConfig, vaeScaleFactor } from '../models/autoencoder-kl.js';
import {
  type PixArtTransformer2DConfig,
  pixArtNames,
  readPixArtTransformer2DConfig,
} from '../models/pixart-transformer-2d.js';
import { guidanceRows, negativePrompts, repeatRows, tileRows } from '../pipelines/conditioning.js';
import { loadLoop } from '../pipelines/denoise/load-loop.js';
import type { LatentLoop, Recorder } from '../pipelines/denoise/step-loop.js';
import type {
  Generation,
  GenerationRequest,
  LoadOptions,
  ParallelOptions,
  Pipeline,
  ProgressListener,
} from '../pipelines/request.js';
import { type CaptionEmbeds, T5TextEncoder } from '../pipelines/text/t5.js';
import { LatentDecoder, toPixels } from '../pipelines/vae/decoder.js';
import { placeVae } from '../pipelines/vae/placement.js';
import { resizeAndCrop } from '../pipelines/vae/resize-and-crop.js';
import type { RankContext } from '../ranks/rank-context.js';
import { float32, int64, type Tensor } from '../tensor/tensor.js';
import { preprocessCaption } from './caption.js';
import { resolutionBin } from './resolution-bins.js';

/** Of PixArt-alpha's captions. */
export const CAPTION_TOKENS = 120;

/** Captions of all images of a request, each prompt's repeated for its images; `negative` only with guidance. */
interface Captions {
  readonly positive: CaptionEmbeds;
  readonly negative: CaptionEmbeds | undefined;
}

/** What a pipeline is made of on one rank. */
interface Parts {
  readonly transformer: PixArtTransformer2DConfig;
  /** Size of the picture that the latents become, before it is resized to what was asked for. */
  readonly size: PictureSize;
  readonly loop: LatentLoop;
  /** On the first rank, which encodes the text for all. */
  readonly text: T5TextEncoder | undefined;
  /** On ranks that take part in decoding. */
  readonly decoder: LatentDecoder | undefined;
}

/**
 * Text to image with a PixArt-alpha checkpoint on one or many ranks, as diffusers' PixArtAlphaPipeline (without beautifulsoup4 and ftfy,
 * which change captions).
 */
export class PixArtAlphaPipeline implements Pipeline {
  readonly #parts: Parts;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Builds everything for requests of this one's size, number of images and guidance. Waits for the other ranks. */
  static async load(
    options: LoadOptions,
    ranks: RankContext,
    request: GenerationRequest,
    parallel: ParallelOptions,
    listener: ProgressListener,
  ): Promise<PixArtAlphaPipeline> {
    listener.phase('load', 'start');
    const addon = loadAddon();
    const { threads, weights } = options;
    const executable = { threads, weights, rank: ranks.rank, communicator: undefined };
    const checkpoint = await openCheckpoint(options.directory, { variant: options.variant });
    requirePipelineClass(checkpoint, 'PixArtAlphaPipeline');
    const vae = readAutoencoderKLConfig(await checkpoint.config('vae'));
    const { transformer, size, latent } = await readGeometry(checkpoint, request);
    const text =
      ranks.rank === 0 ? await T5TextEncoder.load(addon, checkpoint, CAPTION_TOKENS, executable) : undefined;
    let decoder: LatentDecoder | undefined;
    const loop = await loadLoop(request, {
      addon,
      source: checkpoint,
      load: options,
      ranks,
      parallel,
      latent,
      textTokens: CAPTION_TOKENS,
      reserve: async (slots) => {
        if (request.outputType === 'latent') return;
        const placement = placeVae(options.vae, ranks, slots);
        if (placement) decoder = await LatentDecoder.prepare(checkpoint, vae, latent, placement);
      },
    });
    await decoder?.load(addon, { ...executable, communicator: loop.communicator });
    listener.phase('load', 'end');
    return new PixArtAlphaPipeline({ transformer, size, loop, text, decoder });
  }

  async generate(request: GenerationRequest, listener: ProgressListener): Promise<Generation> {
    const { loop, text } = this.#parts;
    const trace: Record<string, Tensor> = {};
    const record = (name: string, make: () => Tensor) => {
      if (request.trace && text) trace[name] = make();
    };
    listener.phase('text', 'start');
    const captions = await this.#encodePrompt(request, record);
    await loop.begin(this.#inputs(captions, record));
    listener.phase('text', 'end');

    const latents = await loop.run(request, listener, record);
    record('final_latents', () => latents);

    const images = await this.#decode(latents, request, listener, record);
    return { latents, ...(images ? { images } : {}), ...(request.trace && text ? { trace } : {}) };
  }

  statistics(): CommunicatorStatistics | undefined {
    return this.#parts.loop.communicator?.statistics();
  }

  async close(): Promise<void> {
    const { decoder, loop, text } = this.#parts;
    decoder?.release();
    loop.release();
    text?.release();
  }

  /** The text encoder runs on the first rank; the others are sent the embeddings. */
  async #encodePrompt(request: GenerationRequest, record: Recorder): Promise<Captions> {
    const encode = async (texts: readonly string[], prefix: string): Promise<CaptionEmbeds> => {
      const own = await this.#encodeTexts(texts, prefix, record);
      const shared = await this.#share(own, texts.length);
      const repeated = {
        embeds: repeatRows(shared.embeds, request.numImagesPerPrompt),
        mask: repeatRows(shared.mask, request.numImagesPerPrompt),
      };
      record(`${prefix}prompt_embeds`, () => repeated.embeds);
      record(`${prefix}prompt_attention_mask`, () => asIntegers(repeated.mask));
      return repeated;
    };
    const positive = await encode(request.prompt, '');
    const negative = this.#parts.loop.topology.guided
      ? await encode(negativePrompts(request), 'negative_')
      : undefined;
    return { positive, negative };
  }

  async #encodeTexts(
    texts: readonly string[],
    prefix: string,
    record: Recorder,
  ): Promise<CaptionEmbeds | undefined> {
    const encoded = await this.#parts.text?.encode(texts.map(preprocessCaption));
    if (encoded) {
      record(`${prefix}input_ids`, () => encoded.ids);
      record(`${prefix}attention_mask`, () => asIntegers(encoded.mask));
    }
    return encoded;
  }

  /** The first rank's embeddings of `count` texts, on every rank. */
  async #share(own: CaptionEmbeds | undefined, count: number): Promise<CaptionEmbeds> {
    const { loop, transformer } = this.#parts;
    const captions = own ?? {
      embeds: float32([count, CAPTION_TOKENS, transformer.captionChannels]),
      mask: float32([count, CAPTION_TOKENS]),
    };
    await loop.communicator?.broadcast(captions.embeds.data, 0);
    await loop.communicator?.broadcast(captions.mask.data, 0);
    return captions;
  }

  /** What the transformer is told once per image: this rank's rows of the guidance batch. */
  #inputs({ positive, negative }: Captions, record: Recorder): Readonly<Record<string, Tensor>> {
    const { loop } = this.#parts;
    const embeds = guidanceRows(positive.embeds, negative?.embeds, loop.role);
    const mask = guidanceRows(positive.mask, negative?.mask, loop.role);
    record('encoder_hidden_states', () => embeds);
    record('encoder_attention_mask', () => asIntegers(mask));
    const inputs = pixArtInputs(this.#parts, embeds, mask);
    for (const name of [pixArtNames.resolution, pixArtNames.aspectRatio]) {
      const given = inputs[name];
      if (given) record(name, () => given);
    }
    return inputs;
  }

  async #decode(
    latents: Tensor<'float32'>,
    { height, width }: PictureSize,
    listener: ProgressListener,
    record: Recorder,
  ): Promise<Tensor<'uint8'> | undefined> {
    const { decoder } = this.#parts;
    if (!decoder) return undefined;
    listener.phase('decode', 'start');
    const decoded = await decoder.decode(latents);
    const images = decoded ? toPixels(resizeAndCrop(decoded, { height, width })) : undefined;
    if (decoded && images) {
      record('decoded', () => decoded);
      record('image_uint8', () => images);
    }
    listener.phase('decode', 'end');
    return images;
  }
}

/** Sizes of a request's pictures on the way. */
export interface PixArtGeometry {
  readonly transformer: PixArtTransformer2DConfig;
  /** Of the picture that the latents become. */
  readonly size: PictureSize;
  readonly latent: GridSize;
}

/** Refuses sizes that the transformer can't do. */
export async function readGeometry(
  checkpoint: Pick<Checkpoint, 'config'>,
  request: Pick<GenerationRequest, 'height' | 'width' | 'useResolutionBinning'>,
): Promise<PixArtGeometry> {
  const transformer = readPixArtTransformer2DConfig(await checkpoint.config('transformer'));
  const factor = vaeScaleFactor(readAutoencoderKLConfig(await checkpoint.config('vae')));
  const { height, width } = request;
  const size = request.useResolutionBinning
    ? resolutionBin(transformer.sampleSize, { height, width })
    : { height, width };
  const unit = factor * transformer.patchSize;
  if (size.height % unit !== 0 || size.width % unit !== 0) {
    throw expected(
      `multiples of ${unit}, or resolution binning,`,
      'the image size',
      `${size.width}x${size.height}`,
    );
  }
  return { transformer, size, latent: { rows: size.height / factor, columns: size.width / factor } };
}

/** What a transformer is told once per image, by name: captions and their masks, and where it wants to know it the size of the picture. */
export function pixArtInputs(
  { transformer, size: { height, width } }: Pick<PixArtGeometry, 'transformer' | 'size'>,
  embeds: Tensor<'float32'>,
  mask: Tensor<'float32'>,
): Readonly<Record<string, Tensor>> {
  const inputs = { [pixArtNames.encoderHiddenStates]: embeds, [pixArtNames.encoderAttentionMask]: mask };
  if (!transformer.sizeConditions) return inputs;
  const rows = mask.shape[0] as number;
  return {
    ...inputs,
    [pixArtNames.resolution]: tileRows(float32([1, 2], Float32Array.of(height, width)), rows),
    [pixArtNames.aspectRatio]: tileRows(float32([1, 1], Float32Array.of(height / width)), rows),
  };
}

function asIntegers({ shape, data }: Tensor<'float32'>): Tensor<'int64'> {
  return int64(
    shape,
    BigInt64Array.from(data, (value) => BigInt(value)),
  );
}
