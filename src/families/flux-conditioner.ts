import { DistriError } from '../base/errors.js';
import type { ComponentSource } from '../checkpoint/component-source.js';
import type { WeightSource } from '../checkpoint/weights.js';
import type { Device } from '../engine/device.js';
import type { ExecutableOptions } from '../engine/executable.js';
import {
  type FluxTransformer2DConfig,
  fluxNames,
  fluxPositions,
  readFluxTransformer2DConfig,
} from '../models/flux-transformer-2d.js';
import {
  batchSize,
  type Conditioner,
  type ConditioningContext,
  guidanceRows,
  negativePrompts,
  onePerPrompt,
  repeatRows,
  requireFiniteText,
  shareTensor,
} from '../pipelines/conditioning.js';
import type { Geometry } from '../pipelines/geometry.js';
import { Unfinished } from '../pipelines/part-cache.js';
import { type GenerationRequest, imageCount } from '../pipelines/request.js';
import { CLIPTextEncoder, stackIds } from '../pipelines/text/clip.js';
import { T5TextEncoder } from '../pipelines/text/t5.js';
import { TorchGenerator } from '../tensor/random-torch.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import type { ConfigSource } from './family.js';

/** Texts as the transformer is told them. */
interface FluxText {
  /** `[texts, tokens, features]`, of T5. */
  readonly embeds: Tensor<'float32'>;
  /** `[texts, features]`, of CLIP. */
  readonly pooled: Tensor<'float32'>;
}

interface Encoders {
  readonly clip: CLIPTextEncoder;
  readonly t5: T5TextEncoder;
}

/** What CLIP and T5 read. */
interface Texts {
  readonly clip: readonly string[];
  readonly t5: readonly string[];
}

/** The texts of FLUX.1, as encode_prompt of diffusers' FluxPipeline. */
export class FluxConditioner implements Conditioner {
  readonly encodesText = true;
  readonly #transformer: FluxTransformer2DConfig;
  readonly #encoders: Encoders | undefined;

  private constructor(transformer: FluxTransformer2DConfig, encoders: Encoders | undefined) {
    this.#transformer = transformer;
    this.#encoders = encoders;
  }

  static async load(
    device: Device,
    source: ComponentSource,
    encodes: boolean,
    executable: ExecutableOptions,
    { textTokens }: Geometry,
  ): Promise<FluxConditioner> {
    const transformer = readFluxTransformer2DConfig(await source.config('transformer'));
    if (!encodes) return new FluxConditioner(transformer, undefined);
    requireKnownBlocks(await source.weights('transformer', { types: device.weightTypes }), transformer);
    const outputs = () => ({ hiddenLayer: 'last', pooled: true }) as const;
    // The pipeline's tokenizer is T5TokenizerFast, and padding takes part in its texts.
    const text = { suffix: '_2', tokens: textTokens, padding: 'seen', ending: 'always' } as const;
    return Unfinished.run(async (unfinished) => {
      const clip = await unfinished.add(CLIPTextEncoder.load(device, source, '', outputs, executable));
      const t5 = await unfinished.add(T5TextEncoder.load(device, source, text, executable));
      return new FluxConditioner(transformer, { clip, t5 });
    });
  }

  async inputs(
    request: GenerationRequest,
    context: ConditioningContext,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const { prompt, familyOptions } = request;
    const positive = await this.#texts(
      { clip: prompt, t5: replaced(prompt, familyOptions.prompt2, 'prompt_2') },
      '',
      request,
      context,
    );
    const { topology, role, geometry, record } = context;
    const negative = topology.guided ? await this.#negative(request, context) : undefined;
    const images = imageCount(request);
    const guidance = filled(images, request.guidanceScale);
    if (this.#transformer.guidanceEmbeds) record('guidance', () => guidance);
    const positions = fluxPositions(geometry.textTokens, geometry.latent);
    record('txt_ids', () => positions.text);
    record('img_ids', () => positions.image);
    return fluxInputs(this.#transformer, request.guidanceScale, {
      embeds: guidanceRows(positive.embeds, negative?.embeds, role),
      pooled: guidanceRows(positive.pooled, negative?.pooled, role),
    });
  }

  release(): void {
    this.#encoders?.clip.release();
    this.#encoders?.t5.release();
  }

  #negative(request: GenerationRequest, context: ConditioningContext): Promise<FluxText> {
    const clip = negativePrompts(request);
    const t5 = replaced(clip, request.familyOptions.negativePrompt2, 'negative_prompt_2');
    return this.#texts({ clip, t5 }, 'negative_', request, context);
  }

  /** Of all texts on every rank, each repeated for its images. */
  async #texts(
    texts: Texts,
    prefix: string,
    { numImagesPerPrompt }: GenerationRequest,
    context: ConditioningContext,
  ): Promise<FluxText> {
    const { communicator, record, geometry } = context;
    const { textFeatures, pooledFeatures } = this.#transformer;
    const own = this.#encoders && (await encode(this.#encoders, texts, prefix, context));
    const count = texts.clip.length;
    const embeds = await shareTensor(own?.embeds, [count, geometry.textTokens, textFeatures], communicator);
    const pooled = await shareTensor(own?.pooled, [count, pooledFeatures], communicator);
    const repeated = {
      embeds: repeatRows(embeds, numImagesPerPrompt),
      pooled: repeatRows(pooled, numImagesPerPrompt),
    };
    record(`${prefix}prompt_embeds`, () => repeated.embeds);
    record(`${prefix}pooled_prompt_embeds`, () => repeated.pooled);
    return repeated;
  }
}

/**
 * Refuses weights of blocks that the config has none of: a model without its last blocks draws no picture.
 */
function requireKnownBlocks(
  weights: Pick<WeightSource, 'names'>,
  { doubleLayers, singleLayers }: FluxTransformer2DConfig,
): void {
  for (const name of weights.names()) {
    const [, kind, index] = /^(single_transformer|transformer)_blocks\.(\d+)\./.exec(name) ?? [];
    if (kind === undefined) continue;
    const [key, count] =
      kind === 'transformer' ? ['num_layers', doubleLayers] : ['num_single_layers', singleLayers];
    if (Number(index) < Number(count)) continue;
    throw new DistriError(
      'checkpoint',
      `the checkpoint has weights of ${kind}_blocks.${index}, but ${key} = ${count} in transformer/config.json`,
    );
  }
}

/** The texts that T5 reads: those of its own option, or the same as CLIP. */
function replaced(texts: readonly string[], own: unknown, option: string): readonly string[] {
  if (!Array.isArray(own)) return texts;
  return onePerPrompt(own, texts.length, `--${option}`);
}

async function encode(
  { clip, t5 }: Encoders,
  texts: Texts,
  prefix: string,
  { record, listener, geometry }: ConditioningContext,
): Promise<FluxText> {
  const encoded = await t5.encode(texts.t5);
  requireFiniteText(encoded.embeds, 'text_encoder_2');
  const rows: Float32Array[] = [];
  const ids: (readonly number[])[] = [];
  for (const text of texts.clip) {
    const { pooled, ids: own } = await clip.encode(text);
    if (!pooled) throw new DistriError('checkpoint', 'text_encoder gave no summary of the prompt');
    rows.push(pooled.data.slice());
    ids.push(own);
  }
  const width = rows[0]?.length ?? 0;
  const pooled = float32([rows.length, width]);
  for (const [index, row] of rows.entries()) pooled.data.set(row, index * width);
  requireFiniteText(pooled, 'text_encoder');
  record(`${prefix}input_ids`, () => stackIds(ids));
  record(`${prefix}input_ids_2`, () => encoded.ids);
  const most = Math.max(...encoded.cut);
  if (most > 0) {
    const what = prefix === '' ? 'prompt' : 'negative prompt';
    listener.note?.(
      `the ${what} is longer than the ${geometry.textTokens} tokens of T5; its last ${most} tokens were cut off`,
    );
  }
  return { embeds: encoded.embeds, pooled };
}

/** What a transformer is told once per image, by name: `[rows, …]` each. */
function fluxInputs(
  { guidanceEmbeds }: FluxTransformer2DConfig,
  guidanceScale: number,
  { embeds, pooled }: FluxText,
): Readonly<Record<string, Tensor>> {
  const inputs = { [fluxNames.encoderHiddenStates]: embeds, [fluxNames.pooledProjections]: pooled };
  if (!guidanceEmbeds) return inputs;
  return { ...inputs, [fluxNames.guidance]: filled(embeds.shape[0] as number, guidanceScale) };
}

function filled(count: number, value: number): Tensor<'float32'> {
  return float32([count], new Float32Array(count).fill(value));
}

/** Random texts, the same on all ranks. */
export async function randomFluxConditioner(
  source: ConfigSource,
  { textTokens }: Geometry,
): Promise<Conditioner> {
  const transformer = readFluxTransformer2DConfig(await source.config('transformer'));
  return {
    encodesText: false,
    inputs: async (request, { topology }) => {
      const rows = batchSize(imageCount(request), topology);
      const generator = new TorchGenerator(request.seed);
      const embeds = generator.randn([rows, textTokens, transformer.textFeatures]);
      const pooled = generator.randn([rows, transformer.pooledFeatures]);
      return fluxInputs(transformer, request.guidanceScale, { embeds, pooled });
    },
    release: () => {},
  };
}
