import { abbreviate, quote } from '../base/quote.js';
import type { ComponentSource } from '../checkpoint/component-source.js';
import type { Device } from '../engine/device.js';
import type { ExecutableOptions } from '../engine/executable.js';
import { type UNet2DConditionConfig, unetNames } from '../models/unet-2d-condition.js';
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
  zerosLike,
} from '../pipelines/conditioning.js';
import type { Recorder } from '../pipelines/denoise/recorder.js';
import { type GenerationRequest, imageCount } from '../pipelines/request.js';
import {
  type EmbedSizes,
  type EncodedPrompts,
  type PromptEmbeds,
  readEmbedSizes,
  type TextEncoderSpec,
  TextEncoders,
} from '../pipelines/text/prompt-embeds.js';
import type { ProgressListener } from '../ranks/progress.js';
import { TorchGenerator } from '../tensor/random-torch.js';
import { float32, type Tensor } from '../tensor/tensor.js';

/**
 * Text conditioning of all images of a request, each prompt repeated for its images; `negative` only with
 * guidance.
 */
export interface UNetConditioning {
  readonly positive: PromptEmbeds;
  readonly negative: PromptEmbeds | undefined;
}

export interface UNetConditionerOptions {
  readonly encoders: readonly TextEncoderSpec[];
  /** Zeros take the place of an empty negative prompt's embeddings. */
  readonly zeroesEmptyPrompt: boolean;
}

/**
 * The texts of a UNet, as encode_prompt of diffusers' StableDiffusionPipeline and StableDiffusionXLPipeline.
 */
export class UNetConditioner implements Conditioner {
  readonly encodesText = true;
  readonly #text: TextEncoders | undefined;
  readonly #sizes: EmbedSizes;
  readonly #zeroesEmptyPrompt: boolean;

  private constructor(text: TextEncoders | undefined, sizes: EmbedSizes, zeroesEmptyPrompt: boolean) {
    this.#text = text;
    this.#sizes = sizes;
    this.#zeroesEmptyPrompt = zeroesEmptyPrompt;
  }

  static async load(
    device: Device,
    source: ComponentSource,
    encodes: boolean,
    executable: ExecutableOptions,
    { encoders, zeroesEmptyPrompt }: UNetConditionerOptions,
  ): Promise<UNetConditioner> {
    const sizes = await readEmbedSizes(source, encoders);
    const text = encodes ? await TextEncoders.load(device, source, encoders, executable) : undefined;
    return new UNetConditioner(text, sizes, zeroesEmptyPrompt);
  }

  async inputs(
    request: GenerationRequest,
    context: ConditioningContext,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const encoded = this.#text && (await this.#encode(this.#text, request, context));
    const positive = await this.#share(encoded?.positive, request, context);
    const negative = context.topology.guided
      ? await this.#share(encoded?.negative, request, context)
      : undefined;
    recordEmbeds('', positive, context.record);
    if (negative) recordEmbeds('negative_', negative, context.record);
    return unetInputs({ positive, negative }, request, context);
  }

  release(): void {
    this.#text?.release();
  }

  async #encode(
    text: TextEncoders,
    request: GenerationRequest,
    { topology, record, listener }: ConditioningContext,
  ): Promise<UNetConditioning> {
    const positive = await text.encode(request.prompt);
    report(positive, '', record, listener);
    if (!topology.guided) return { positive, negative: undefined };
    if (request.negativePrompt.length === 0 && this.#zeroesEmptyPrompt) {
      const { embeds, pooled } = positive;
      return { positive, negative: { embeds: zerosLike(embeds), pooled: pooled && zerosLike(pooled) } };
    }
    const negative = await text.encode(negativePrompts(request));
    report(negative, 'negative_', record, listener);
    return { positive, negative };
  }

  /** The first rank's embeddings of all prompts on every rank, each repeated for its images. */
  async #share(
    own: PromptEmbeds | undefined,
    { prompt, numImagesPerPrompt }: GenerationRequest,
    { communicator }: ConditioningContext,
  ): Promise<PromptEmbeds> {
    const { tokens, features, pooled } = this.#sizes;
    const count = prompt.length;
    const embeds = await shareTensor(own?.embeds, [count, tokens, features], communicator);
    const summary =
      pooled === undefined ? undefined : await shareTensor(own?.pooled, [count, pooled], communicator);
    return {
      embeds: repeatRows(embeds, numImagesPerPrompt),
      pooled: summary && repeatRows(summary, numImagesPerPrompt),
    };
  }
}

/**
 * What a UNet is told once per image, by name: texts and, where they have a summary, the sizes that SDXL
 * wants to know.
 */
function unetInputs(
  { positive, negative }: UNetConditioning,
  request: GenerationRequest,
  { topology, role, record }: Pick<ConditioningContext, 'topology' | 'role' | 'record'>,
): Readonly<Record<string, Tensor>> {
  const texts = guidanceRows(positive.embeds, negative?.embeds, role);
  const inputs = { [unetNames.encoderHiddenStates]: texts };
  if (!positive.pooled) return inputs;
  const { height, width } = request;
  const images = imageCount(request);
  const sizes = float32([1, 6], Float32Array.of(height, width, 0, 0, height, width));
  record('add_time_ids', () => tileRows(sizes, images * (topology.guided ? 2 : 1)));
  return {
    ...inputs,
    [unetNames.textEmbeds]: guidanceRows(positive.pooled, negative?.pooled, role),
    [unetNames.timeIds]: tileRows(sizes, batchSize(images, topology)),
  };
}

/** Checks and records what the encoders made, and says which texts they cut. */
function report(
  { ids, embeds, truncated }: EncodedPrompts,
  prefix: string,
  record: Recorder,
  listener: ProgressListener,
): void {
  requireFiniteText(embeds, 'the text encoders');
  for (const [name, tensor] of Object.entries(ids)) record(`${prefix}${name}`, () => tensor);
  const what = prefix === '' ? 'prompt' : 'negative prompt';
  const tokens = Object.values(ids)[0]?.shape[1];
  for (const end of new Set(truncated)) {
    if (end === undefined) continue;
    listener.note?.(
      `the ${what} is longer than the ${tokens} tokens of CLIP; this was cut off: ${abbreviate(quote(end))}`,
    );
  }
}

function recordEmbeds(prefix: string, { embeds, pooled }: PromptEmbeds, record: Recorder): void {
  record(`${prefix}prompt_embeds`, () => embeds);
  if (pooled) record(`${prefix}pooled_prompt_embeds`, () => pooled);
}

/** Random texts of so many tokens, the same on all ranks. */
export function randomConditioner(
  { textTime, crossAttentionDim }: UNet2DConditionConfig,
  tokens: number,
): Conditioner {
  return {
    encodesText: false,
    inputs: async (request, context) => {
      const images = imageCount(request);
      const generator = new TorchGenerator(request.seed);
      const embeds = (): PromptEmbeds => ({
        embeds: generator.randn([images, tokens, crossAttentionDim]),
        pooled: textTime && generator.randn([images, textTime.inputDim - 6 * textTime.timeEmbedDim]),
      });
      const conditioning = { positive: embeds(), negative: context.topology.guided ? embeds() : undefined };
      return unetInputs(conditioning, request, context);
    },
    release: () => {},
  };
}
