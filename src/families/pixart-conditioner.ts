import type { ComponentSource } from '../checkpoint/component-source.js';
import type { Device } from '../engine/device.js';
import type { ExecutableOptions } from '../engine/executable.js';
import {
  type PixArtTransformer2DConfig,
  pixArtNames,
  readPixArtTransformer2DConfig,
} from '../models/pixart-transformer-2d.js';
import {
  batchSize,
  type Conditioner,
  type ConditioningContext,
  guidanceRows,
  negativePrompts,
  repeatRows,
  requireFiniteText,
  shareTensor,
  tileRows,
} from '../pipelines/conditioning.js';
import type { Geometry } from '../pipelines/geometry.js';
import { type GenerationRequest, imageCount } from '../pipelines/request.js';
import { type CaptionEmbeds, T5TextEncoder } from '../pipelines/text/t5.js';
import { TorchGenerator } from '../tensor/random-torch.js';
import { float32, int64, type Tensor } from '../tensor/tensor.js';
import { CAPTION_TOKENS, preprocessCaption } from './caption.js';
import type { ConfigSource } from './family.js';

/** The pipeline's tokenizer is the slow T5Tokenizer. */
const captionSpec = { suffix: '', tokens: CAPTION_TOKENS, padding: 'hidden', ending: 'once' } as const;

/** The captions of a transformer, as encode_prompt of diffusers' PixArtAlphaPipeline. */
export class PixArtConditioner implements Conditioner {
  readonly encodesText = true;
  readonly #transformer: PixArtTransformer2DConfig;
  readonly #text: T5TextEncoder | undefined;

  private constructor(transformer: PixArtTransformer2DConfig, text: T5TextEncoder | undefined) {
    this.#transformer = transformer;
    this.#text = text;
  }

  static async load(
    device: Device,
    source: ComponentSource,
    encodes: boolean,
    executable: ExecutableOptions,
  ): Promise<PixArtConditioner> {
    const transformer = readPixArtTransformer2DConfig(await source.config('transformer'));
    const text = encodes ? await T5TextEncoder.load(device, source, captionSpec, executable) : undefined;
    return new PixArtConditioner(transformer, text);
  }

  async inputs(
    request: GenerationRequest,
    context: ConditioningContext,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const { topology, role, record, geometry } = context;
    const positive = await this.#captions(request.prompt, '', request, context);
    const negative = topology.guided
      ? await this.#captions(negativePrompts(request), 'negative_', request, context)
      : undefined;
    const embeds = guidanceRows(positive.embeds, negative?.embeds, role);
    const mask = guidanceRows(positive.mask, negative?.mask, role);
    record('encoder_hidden_states', () => embeds);
    record('encoder_attention_mask', () => asIntegers(mask));
    const inputs = pixArtInputs(this.#transformer, geometry, embeds, mask);
    for (const name of [pixArtNames.resolution, pixArtNames.aspectRatio]) {
      const given = inputs[name];
      if (given) record(name, () => given);
    }
    return inputs;
  }

  release(): void {
    this.#text?.release();
  }

  /** Of all texts on every rank, each repeated for its images. */
  async #captions(
    texts: readonly string[],
    prefix: string,
    { numImagesPerPrompt }: GenerationRequest,
    context: ConditioningContext,
  ): Promise<CaptionEmbeds> {
    const { communicator, record } = context;
    const own = this.#text && (await this.#encode(this.#text, texts, prefix, context));
    const shape = [texts.length, CAPTION_TOKENS];
    const features = this.#transformer.captionChannels;
    const embeds = await shareTensor(own?.embeds, [...shape, features], communicator);
    const mask = await shareTensor(own?.mask, shape, communicator);
    const repeated = {
      embeds: repeatRows(embeds, numImagesPerPrompt),
      mask: repeatRows(mask, numImagesPerPrompt),
    };
    record(`${prefix}prompt_embeds`, () => repeated.embeds);
    record(`${prefix}prompt_attention_mask`, () => asIntegers(repeated.mask));
    return repeated;
  }

  async #encode(
    text: T5TextEncoder,
    texts: readonly string[],
    prefix: string,
    { record, listener }: ConditioningContext,
  ): Promise<CaptionEmbeds> {
    const encoded = await text.encode(texts.map(preprocessCaption));
    requireFiniteText(encoded.embeds, 'text_encoder');
    record(`${prefix}input_ids`, () => encoded.ids);
    record(`${prefix}attention_mask`, () => asIntegers(encoded.mask));
    const most = Math.max(...encoded.cut);
    const what = prefix === '' ? 'prompt' : 'negative prompt';
    if (most > 0) {
      listener.note?.(
        `the ${what} is longer than the ${CAPTION_TOKENS} tokens of T5; its last ${most} tokens were cut off`,
      );
    }
    return encoded;
  }
}

/**
 * What a transformer is told once per image, by name: captions and their masks, and where it wants to know it
 * the size of the picture.
 */
export function pixArtInputs(
  { sizeConditions }: PixArtTransformer2DConfig,
  { decoded: { height, width } }: Geometry,
  embeds: Tensor<'float32'>,
  mask: Tensor<'float32'>,
): Readonly<Record<string, Tensor>> {
  const inputs = { [pixArtNames.encoderHiddenStates]: embeds, [pixArtNames.encoderAttentionMask]: mask };
  if (!sizeConditions) return inputs;
  const rows = mask.shape[0] as number;
  return {
    ...inputs,
    [pixArtNames.resolution]: tileRows(float32([1, 2], Float32Array.of(height, width)), rows),
    [pixArtNames.aspectRatio]: tileRows(float32([1, 1], Float32Array.of(height / width)), rows),
  };
}

/** Random captions of full length, the same on all ranks. */
export async function randomPixArtConditioner(source: ConfigSource): Promise<Conditioner> {
  const transformer = readPixArtTransformer2DConfig(await source.config('transformer'));
  return {
    encodesText: false,
    inputs: async (request, { topology, geometry }) => {
      const rows = batchSize(imageCount(request), topology);
      const generator = new TorchGenerator(request.seed);
      const embeds = generator.randn([rows, CAPTION_TOKENS, transformer.captionChannels]);
      const mask = float32([rows, CAPTION_TOKENS], new Float32Array(rows * CAPTION_TOKENS).fill(1));
      return pixArtInputs(transformer, geometry, embeds, mask);
    },
    release: () => {},
  };
}

function asIntegers({ shape, data }: Tensor<'float32'>): Tensor<'int64'> {
  return int64(
    shape,
    BigInt64Array.from(data, (value) => BigInt(value)),
  );
}
