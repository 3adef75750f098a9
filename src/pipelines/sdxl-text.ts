import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { Graph } from '../graph/graph.js';
import { Kernels } from '../graph/kernels.js';
import {
  type CLIPTextConfig,
  CLIPTextModel,
  clipTextNames,
  eosPosition,
  hiddenStateName,
  readCLIPTextConfig,
} from '../models/clip-text.js';
import type { Addon } from '../native/addon.js';
import { SingleDevice } from '../parallel/single-device.js';
import { Executable, type ExecutableOptions, floatResult } from '../runtime/executable.js';
import { elementCount, float32, int64, type Tensor } from '../tensor/tensor.js';
import { CLIPTokenizer } from '../tokenizers/clip.js';

/** What the UNet is told of a text. */
export interface PromptEmbeds {
  /** `[texts, tokens, features]`. */
  readonly embeds: Tensor<'float32'>;
  /** `[texts, pooled features]`. */
  readonly pooled: Tensor<'float32'>;
}

/** A text as the two encoders saw it, `[texts, 77]` each. */
export interface PromptIds {
  readonly ids: Tensor<'int64'>;
  readonly ids2: Tensor<'int64'>;
}

interface Encoder {
  readonly tokenizer: CLIPTokenizer;
  readonly config: CLIPTextConfig;
  readonly hiddenState: string;
  readonly model: Executable;
}

/**
 * SDXL's two text encoders: the last but one hidden states side by side, and the pooled projection of the second.
 * As diffusers' StableDiffusionXLPipeline.encode_prompt.
 */
export class SDXLTextEncoders {
  readonly #first: Encoder;
  readonly #second: Encoder;

  private constructor(first: Encoder, second: Encoder) {
    this.#first = first;
    this.#second = second;
  }

  static async load(
    addon: Addon,
    checkpoint: Checkpoint,
    options: ExecutableOptions,
  ): Promise<SDXLTextEncoders> {
    const encoder = async (suffix: string, pooled: boolean): Promise<Encoder> => {
      const component = `text_encoder${suffix}`;
      const tokenizer = await CLIPTokenizer.load(`${checkpoint.directory}/tokenizer${suffix}`);
      const config = readCLIPTextConfig(component, await checkpoint.config(component));
      const kernels = new Kernels(new Graph());
      const layers = new SingleDevice(kernels, await checkpoint.weights(component));
      const hiddenLayer = config.layers - 1;
      new CLIPTextModel(config, layers, kernels).build({ batch: 1, hiddenLayer, pooled });
      // Each weight is read once per text: repacking them would take longer than it saves, while the other ranks wait.
      const model = await Executable.load(addon, kernels.graph.compile().step, {
        ...options,
        weights: 'shared',
      });
      return { tokenizer, config, hiddenState: hiddenStateName(hiddenLayer), model };
    };
    return new SDXLTextEncoders(await encoder('', false), await encoder('_2', true));
  }

  /** Encodes each text on its own; they do not see each other. */
  async encode(texts: readonly string[]): Promise<PromptEmbeds & PromptIds> {
    const rows = [];
    for (const text of texts) rows.push(await this.#encodeOne(text));
    const tokens = this.#first.config.maxPositions;
    const features = this.#first.config.hiddenSize + this.#second.config.hiddenSize;
    return {
      embeds: stack(
        rows.map((row) => row.embeds),
        [tokens, features],
      ),
      pooled: stack(
        rows.map((row) => row.pooled),
        [this.#second.config.projectionDim as number],
      ),
      ids: stackIds(rows.map((row) => row.ids)),
      ids2: stackIds(rows.map((row) => row.ids2)),
    };
  }

  release(): void {
    this.#first.model.release();
    this.#second.model.release();
  }

  async #encodeOne(text: string) {
    const ids = this.#first.tokenizer.encode(text).ids;
    const ids2 = this.#second.tokenizer.encode(text).ids;
    const first = await runEncoder(this.#first, ids);
    const second = await runEncoder(this.#second, ids2);
    const hidden = floatResult(first, this.#first.hiddenState);
    const hidden2 = floatResult(second, this.#second.hiddenState);
    const pooled = Float32Array.from(floatResult(second, clipTextNames.pooled).data);
    return { embeds: joinFeatures(hidden, hidden2), pooled, ids, ids2 };
  }
}

function runEncoder(
  { model, config }: Encoder,
  ids: readonly number[],
): Promise<Readonly<Record<string, Tensor>>> {
  const position = BigInt(eosPosition(ids, config.eosTokenId));
  return model.run({
    [clipTextNames.inputIds]: stackIds([ids]),
    [clipTextNames.eosPositions]: int64([1, 2], BigInt64Array.of(0n, position)),
  });
}

/** `[1, tokens, a]` and `[1, tokens, b]` -> tokens x (a + b) numbers. */
function joinFeatures(first: Tensor<'float32'>, second: Tensor<'float32'>): Float32Array {
  const [, tokens, a] = first.shape as [number, number, number];
  const b = second.shape[2] as number;
  const joined = new Float32Array(tokens * (a + b));
  for (let token = 0; token < tokens; token++) {
    joined.set(first.data.subarray(token * a, (token + 1) * a), token * (a + b));
    joined.set(second.data.subarray(token * b, (token + 1) * b), token * (a + b) + a);
  }
  return joined;
}

function stack(rows: readonly Float32Array[], shape: readonly number[]): Tensor<'float32'> {
  const data = new Float32Array(rows.length * elementCount(shape));
  for (const [index, row] of rows.entries()) data.set(row, index * row.length);
  return float32([rows.length, ...shape], data);
}

function stackIds(rows: readonly (readonly number[])[]): Tensor<'int64'> {
  const length = rows[0]?.length ?? 0;
  return int64(
    [rows.length, length],
    BigInt64Array.from(rows.flat(), (id) => BigInt(id)),
  );
}
