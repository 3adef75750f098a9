import { DistriError } from '../../base/errors.js';
import type { ComponentSource } from '../../checkpoint/component-source.js';
import type { Device } from '../../engine/device.js';
import type { ExecutableOptions } from '../../engine/executable.js';
import { type CLIPTextConfig, type CLIPTextOutputs, readCLIPTextConfig } from '../../models/clip-text.js';
import { elementCount, float32, type Tensor } from '../../tensor/tensor.js';
import { Unfinished } from '../part-cache.js';
import { CLIPTextEncoder, stackIds } from './clip.js';

/** What the UNet is told of a text. */
export interface PromptEmbeds {
  /** `[texts, tokens, features]`. */
  readonly embeds: Tensor<'float32'>;
  /** `[texts, pooled features]`: SDXL only. */
  readonly pooled: Tensor<'float32'> | undefined;
}

/** One of the text encoders whose hidden states are put side by side. */
export interface TextEncoderSpec {
  /** What follows text_encoder and tokenizer in the names of their folders. */
  readonly suffix: '' | '_2';
  readonly outputs: (config: CLIPTextConfig) => Pick<CLIPTextOutputs, 'hiddenLayer' | 'pooled'>;
  /** Whether the pooled text is taken of this one. */
  readonly pooled: boolean;
}

/** Sizes that a text embedding has in a checkpoint. */
export interface EmbedSizes {
  readonly tokens: number;
  readonly features: number;
  readonly pooled: number | undefined;
}

/** Texts as the encoders saw them: `input_ids` and perhaps `input_ids_2`, `[texts, tokens]` each. */
export type PromptIds = Readonly<Record<string, Tensor<'int64'>>>;

/** What text encoders make of texts. */
export interface EncodedPrompts extends PromptEmbeds {
  readonly ids: PromptIds;
  /** Of each text, the end that did not fit. */
  readonly truncated: readonly (string | undefined)[];
}

interface OneText {
  readonly embeds: Float32Array;
  readonly pooled: Float32Array | undefined;
  /** By encoder. */
  readonly ids: readonly (readonly number[])[];
  readonly truncated: string | undefined;
}

/** A checkpoint's CLIP text encoders. As encode_prompt of diffusers' pipelines. */
export class TextEncoders {
  readonly #encoders: readonly CLIPTextEncoder[];
  readonly #sizes: EmbedSizes;

  private constructor(encoders: readonly CLIPTextEncoder[], sizes: EmbedSizes) {
    this.#encoders = encoders;
    this.#sizes = sizes;
  }

  static load(
    device: Device,
    source: ComponentSource,
    specs: readonly TextEncoderSpec[],
    options: ExecutableOptions,
  ): Promise<TextEncoders> {
    return Unfinished.run(async (unfinished) => {
      const sizes = await readEmbedSizes(source, specs);
      const encoders: CLIPTextEncoder[] = [];
      for (const { suffix, outputs } of specs) {
        const encoder = CLIPTextEncoder.load(device, source, suffix, outputs, options);
        encoders.push(await unfinished.add(encoder));
      }
      return new TextEncoders(encoders, sizes);
    });
  }

  /** Encodes each text on its own; they do not see each other. */
  async encode(texts: readonly string[]): Promise<EncodedPrompts> {
    const rows: OneText[] = [];
    for (const text of texts) rows.push(await this.#encodeOne(text));
    const { tokens, features, pooled } = this.#sizes;
    const embeds = rows.map((row) => row.embeds);
    const ids = this.#encoders.map((_, index): [string, Tensor<'int64'>] => [
      index === 0 ? 'input_ids' : `input_ids_${index + 1}`,
      stackIds(rows.map((row) => row.ids[index] as readonly number[])),
    ]);
    return {
      embeds: stack(embeds, [tokens, features]),
      pooled:
        pooled === undefined
          ? undefined
          : stack(
              rows.map((row) => row.pooled as Float32Array),
              [pooled],
            ),
      ids: Object.fromEntries(ids),
      truncated: rows.map(({ truncated }) => truncated),
    };
  }

  release(): void {
    for (const encoder of this.#encoders) encoder.release();
  }

  async #encodeOne(text: string): Promise<OneText> {
    const { tokens, features } = this.#sizes;
    const embeds = new Float32Array(tokens * features);
    const ids: (readonly number[])[] = [];
    let pooled: Float32Array | undefined;
    let truncated: string | undefined;
    let offset = 0;
    for (const encoder of this.#encoders) {
      const encoded = await encoder.encode(text);
      const width = encoded.hidden.shape[2] as number;
      for (let token = 0; token < tokens; token++) {
        const row = encoded.hidden.data.subarray(token * width, (token + 1) * width);
        embeds.set(row, token * features + offset);
      }
      offset += width;
      pooled = encoded.pooled?.data.slice() ?? pooled;
      truncated ??= encoded.truncated;
      ids.push(encoded.ids);
    }
    return { embeds, pooled, ids, truncated };
  }
}

export async function readEmbedSizes(
  source: Pick<ComponentSource, 'config'>,
  specs: readonly TextEncoderSpec[],
): Promise<EmbedSizes> {
  let tokens: number | undefined;
  let features = 0;
  let pooled: number | undefined;
  for (const spec of specs) {
    const component = `text_encoder${spec.suffix}`;
    const config = readCLIPTextConfig(component, await source.config(component));
    tokens ??= config.maxPositions;
    features += config.hiddenSize;
    if (spec.pooled) pooled = requireProjection(component, config);
  }
  return { tokens: tokens ?? 0, features, pooled };
}

function requireProjection(component: string, { projectionDim }: CLIPTextConfig): number {
  if (projectionDim !== undefined) return projectionDim;
  throw new DistriError(
    'checkpoint',
    `${component}/config.json: a CLIPTextModelWithProjection is needed in architectures`,
  );
}

function stack(rows: readonly Float32Array[], shape: readonly number[]): Tensor<'float32'> {
  const data = new Float32Array(rows.length * elementCount(shape));
  for (const [index, row] of rows.entries()) data.set(row, index * row.length);
  return float32([rows.length, ...shape], data);
}
