import { DistriError } from '../../base/errors.js';
import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import type { Addon } from '../../engine/addon.js';
import type { ExecutableOptions } from '../../engine/onnxruntime/executable.js';
import { readCLIPTextConfig } from '../../models/clip-text.js';
import { elementCount, float32, type Tensor } from '../../tensor/tensor.js';
import { CLIPTextEncoder, stackIds } from './clip.js';

/** What the UNet is told of a text. */
export interface PromptEmbeds {
  /** `[texts, tokens, features]`. */
  readonly embeds: Tensor<'float32'>;
  /** `[texts, pooled features]`: SDXL only. */
  readonly pooled: Tensor<'float32'> | undefined;
}

/** Sizes that a text embedding has in a checkpoint. */
export interface EmbedSizes {
  readonly tokens: number;
  readonly features: number;
  readonly pooled: number | undefined;
}

/** Texts as the encoders saw them: `input_ids` and perhaps `input_ids_2`, `[texts, tokens]` each. */
export type PromptIds = Readonly<Record<string, Tensor<'int64'>>>;

interface OneText {
  readonly embeds: Float32Array;
  readonly pooled: Float32Array | undefined;
  /** By encoder. */
  readonly ids: readonly (readonly number[])[];
}

/**
 * A checkpoint's text encoders. Stable Diffusion has one, whose last hidden state is normed; SDXL has two, whose last but one
 * hidden states are put side by side, and the pooled projection of the second. As encode_prompt of diffusers' pipelines.
 */
export class TextEncoders {
  readonly #encoders: readonly CLIPTextEncoder[];
  readonly #sizes: EmbedSizes;

  private constructor(encoders: readonly CLIPTextEncoder[], sizes: EmbedSizes) {
    this.#encoders = encoders;
    this.#sizes = sizes;
  }

  static async load(addon: Addon, checkpoint: Checkpoint, options: ExecutableOptions): Promise<TextEncoders> {
    const sizes = await readEmbedSizes(checkpoint);
    if (!hasTwoEncoders(checkpoint)) {
      const outputs = () => ({ hiddenLayer: 'last', pooled: false }) as const;
      return new TextEncoders([await CLIPTextEncoder.load(addon, checkpoint, '', outputs, options)], sizes);
    }
    const encoders: CLIPTextEncoder[] = [];
    for (const suffix of ['', '_2'] as const) {
      const outputs = ({ layers }: { layers: number }) => ({
        hiddenLayer: layers - 1,
        pooled: suffix === '_2',
      });
      encoders.push(await CLIPTextEncoder.load(addon, checkpoint, suffix, outputs, options));
    }
    return new TextEncoders(encoders, sizes);
  }

  /** Encodes each text on its own; they do not see each other. */
  async encode(texts: readonly string[]): Promise<PromptEmbeds & { readonly ids: PromptIds }> {
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
      ids.push(encoded.ids);
    }
    return { embeds, pooled, ids };
  }
}

export async function readEmbedSizes(
  checkpoint: Pick<Checkpoint, 'pipelineClass' | 'config'>,
): Promise<EmbedSizes> {
  const config = async (component: string) =>
    readCLIPTextConfig(component, await checkpoint.config(component));
  const first = await config('text_encoder');
  if (!hasTwoEncoders(checkpoint)) {
    return { tokens: first.maxPositions, features: first.hiddenSize, pooled: undefined };
  }
  const second = await config('text_encoder_2');
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

function hasTwoEncoders({ pipelineClass }: Pick<Checkpoint, 'pipelineClass'>): boolean {
  return pipelineClass === 'StableDiffusionXLPipeline';
}

function stack(rows: readonly Float32Array[], shape: readonly number[]): Tensor<'float32'> {
  const data = new Float32Array(rows.length * elementCount(shape));
  for (const [index, row] of rows.entries()) data.set(row, index * row.length);
  return float32([rows.length, ...shape], data);
}
