import { DistriError } from '../../base/errors.js';
import type { ComponentSource } from '../../checkpoint/component-source.js';
import type { Device } from '../../engine/device.js';
import { type Executable, type ExecutableOptions, floatResult } from '../../engine/executable.js';
import { Graph } from '../../graph/graph.js';
import { readT5EncoderConfig, T5EncoderModel, t5Names } from '../../models/t5-encoder.js';
import { SingleDevice } from '../../parallel/layers/single-device.js';
import { float32, int64, type Tensor } from '../../tensor/tensor.js';
import { T5Tokenizer, type T5TokenizerOptions } from '../../tokenizers/t5.js';

/** Texts as a transformer is told them. */
export interface CaptionEmbeds {
  /** `[texts, tokens, features]`. */
  readonly embeds: Tensor<'float32'>;
  /** 1 for text and its end, 0 for padding: `[texts, tokens]`. */
  readonly mask: Tensor<'float32'>;
}

/** How a pipeline has texts encoded. */
export interface T5TextSpec extends T5TokenizerOptions {
  /** What follows text_encoder and tokenizer in the names of their folders. */
  readonly suffix: '' | '_2';
  /** How long texts are made. */
  readonly tokens: number;
  /** Whether tokens see the padding behind the text. */
  readonly padding: 'hidden' | 'seen';
}

/** A checkpoint's T5 encoder and tokenizer. */
export class T5TextEncoder {
  readonly #tokenizer: T5Tokenizer;
  readonly #model: Executable;
  /** What is the same for all texts: the biases of distances between tokens. */
  readonly #shared: Readonly<Record<string, Tensor>>;
  readonly #spec: T5TextSpec;

  private constructor(
    tokenizer: T5Tokenizer,
    model: Executable,
    shared: Readonly<Record<string, Tensor>>,
    spec: T5TextSpec,
  ) {
    this.#tokenizer = tokenizer;
    this.#model = model;
    this.#shared = shared;
    this.#spec = spec;
  }

  static async load(
    device: Device,
    checkpoint: ComponentSource,
    spec: T5TextSpec,
    options: ExecutableOptions,
  ): Promise<T5TextEncoder> {
    const { suffix, tokens } = spec;
    const component = `text_encoder${suffix}`;
    const folder = `${checkpoint.directory}/tokenizer${suffix}`;
    const tokenizer = await T5Tokenizer.load(folder, spec);
    const config = readT5EncoderConfig(component, await checkpoint.config(component));
    if (tokenizer.size > config.vocabSize) {
      throw new DistriError(
        'checkpoint',
        `${folder}: has ${tokenizer.size} tokens, but the text encoder knows ${config.vocabSize}`,
      );
    }
    const kernels = device.kernels(new Graph(device.elementType));
    const layers = new SingleDevice(
      kernels,
      await checkpoint.weights(component, { types: device.weightTypes }),
    );
    new T5EncoderModel(config, layers).build({ batch: 1, tokens });
    const { image, step } = kernels.graph.program();
    // Each weight is read once per text: repacking them would take longer than it saves, while the other
    // ranks wait.
    const frugal = { ...options, weights: 'shared' } as const;
    let shared: Readonly<Record<string, Tensor>> = {};
    if (image) {
      const once = await device.load(image, frugal);
      shared = await once.run({});
      once.release();
    }
    return new T5TextEncoder(tokenizer, await device.load(step, frugal), shared, spec);
  }

  /**
   * Encodes each text on its own; also returns their ids, `[texts, tokens]`, and how many tokens of each did
   * not fit.
   */
  async encode(
    texts: readonly string[],
  ): Promise<CaptionEmbeds & { readonly ids: Tensor<'int64'>; readonly cut: readonly number[] }> {
    const { tokens, padding } = this.#spec;
    const encoded = texts.map((text) => this.#tokenizer.encode(text, tokens));
    const rows: Float32Array[] = [];
    let features = 0;
    for (const { ids, mask } of encoded) {
      const results = await this.#model.run({
        ...this.#shared,
        [t5Names.inputIds]: asIds([ids]),
        [t5Names.attentionMask]: float32(
          [1, mask.length],
          padding === 'hidden' ? Float32Array.from(mask) : new Float32Array(mask.length).fill(1),
        ),
      });
      const { shape, data } = floatResult(results, t5Names.lastHiddenState);
      features = shape[2] as number;
      rows.push(data.slice());
    }
    const embeds = float32([texts.length, tokens, features]);
    for (const [index, row] of rows.entries()) embeds.data.set(row, index * row.length);
    const masks = Float32Array.from(encoded.flatMap(({ mask }) => mask));
    return {
      embeds,
      mask: float32([texts.length, tokens], masks),
      ids: asIds(encoded.map(({ ids }) => ids)),
      cut: encoded.map(({ cut }) => cut),
    };
  }

  release(): void {
    this.#model.release();
  }
}

function asIds(rows: readonly (readonly number[])[]): Tensor<'int64'> {
  return int64(
    [rows.length, rows[0]?.length ?? 0],
    BigInt64Array.from(rows.flat(), (id) => BigInt(id)),
  );
}
