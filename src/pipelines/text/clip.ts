import type { ComponentSource } from '../../checkpoint/component-source.js';
import type { Device } from '../../engine/device.js';
import { type Executable, type ExecutableOptions, floatResult } from '../../engine/executable.js';
import { Graph } from '../../graph/graph.js';
import {
  type CLIPTextConfig,
  CLIPTextModel,
  type CLIPTextOutputs,
  clipTextNames,
  eosPosition,
  hiddenStateName,
  readCLIPTextConfig,
} from '../../models/clip-text.js';
import { SingleDevice } from '../../parallel/layers/single-device.js';
import { int64, type Tensor } from '../../tensor/tensor.js';
import { CLIPTokenizer } from '../../tokenizers/clip.js';

/** What UNets take of a text encoder: a hidden state, and perhaps the pooled text. */
export interface HiddenText {
  /** `[1, tokens, features]`, valid until the next call. */
  readonly hidden: Tensor<'float32'>;
  /** `[1, pooled features]`, where it was asked for; valid until the next call. */
  readonly pooled: Tensor<'float32'> | undefined;
  readonly ids: readonly number[];
  /** The end of the text, where it did not fit. */
  readonly truncated: string | undefined;
}

/** One of a checkpoint's CLIP text encoders with its tokenizer. */
export class CLIPTextEncoder {
  readonly config: CLIPTextConfig;
  readonly #tokenizer: CLIPTokenizer;
  readonly #model: Executable;
  readonly #hiddenState: string;
  readonly #pooled: boolean;

  private constructor(
    config: CLIPTextConfig,
    tokenizer: CLIPTokenizer,
    model: Executable,
    hiddenState: string,
    pooled: boolean,
  ) {
    this.config = config;
    this.#tokenizer = tokenizer;
    this.#model = model;
    this.#hiddenState = hiddenState;
    this.#pooled = pooled;
  }

  /**
   * `suffix` is what follows text_encoder and tokenizer in the names of their folders; `outputs` chooses what
   * is computed.
   */
  static async load(
    device: Device,
    checkpoint: ComponentSource,
    suffix: '' | '_2',
    outputs: (config: CLIPTextConfig) => Pick<CLIPTextOutputs, 'hiddenLayer' | 'pooled'>,
    options: ExecutableOptions,
  ): Promise<CLIPTextEncoder> {
    const component = `text_encoder${suffix}`;
    const config = readCLIPTextConfig(component, await checkpoint.config(component));
    const folder = `${checkpoint.directory}/tokenizer${suffix}`;
    const tokenizer = await CLIPTokenizer.load(folder, config.maxPositions);
    const { hiddenLayer, pooled } = outputs(config);
    const kernels = device.kernels(new Graph(device.elementType));
    const layers = new SingleDevice(
      kernels,
      await checkpoint.weights(component, { types: device.weightTypes }),
    );
    new CLIPTextModel(config, layers).build({ batch: 1, hiddenLayer, pooled });
    // Each weight is read once per text: repacking them would take longer than it saves, while the other
    // ranks wait.
    const frugal = { ...options, weights: 'shared' } as const;
    const model = await device.load(kernels.graph.program().step, frugal);
    const name = hiddenLayer === 'last' ? clipTextNames.lastHiddenState : hiddenStateName(hiddenLayer);
    return new CLIPTextEncoder(config, tokenizer, model, name, pooled);
  }

  async encode(text: string): Promise<HiddenText> {
    const { ids, truncated } = this.#tokenizer.encode(text);
    const position = BigInt(eosPosition(ids, this.config.eosTokenId));
    const results = await this.#model.run({
      [clipTextNames.inputIds]: stackIds([ids]),
      ...(this.#pooled
        ? { [clipTextNames.eosPositions]: int64([1, 2], BigInt64Array.of(0n, position)) }
        : {}),
    });
    return {
      hidden: floatResult(results, this.#hiddenState),
      pooled: this.#pooled ? floatResult(results, clipTextNames.pooled) : undefined,
      ids,
      truncated,
    };
  }

  release(): void {
    this.#model.release();
  }
}

/** Ids of texts of equal length, `[texts, tokens]`. */
export function stackIds(rows: readonly (readonly number[])[]): Tensor<'int64'> {
  const length = rows[0]?.length ?? 0;
  return int64(
    [rows.length, length],
    BigInt64Array.from(rows.flat(), (id) => BigInt(id)),
  );
}
