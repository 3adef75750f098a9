import { ConfigReader, limits, type RawConfig } from '../base/config-reader.js';
import { sum } from '../base/numbers.js';
import type { GridSize } from '../base/sizes.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { Area } from '../parallel/gather-parts.js';
import type { Layers } from '../parallel/layers/layers.js';
import type { JointAttentionSpec, PatchGrid } from '../parallel/layers/tokens.js';
import { fluxSigmas } from '../schedulers/flow-match-euler-discrete.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import { sinusoidalEmbedding, timestepEmbedding } from './embeddings.js';
import type { LatentShape, NoiseModel } from './noise-model.js';

/** What config.json says of a FluxTransformer2DModel, checked. */
export interface FluxTransformer2DConfig {
  /** Of the latents, of which a token has a square of two by two. */
  readonly latentChannels: number;
  /** Blocks in which text and picture have weights of their own. */
  readonly doubleLayers: number;
  /** Blocks after them in which they share the weights. */
  readonly singleLayers: number;
  readonly heads: number;
  /** Of a token. */
  readonly features: number;
  /** Of the text's tokens. */
  readonly textFeatures: number;
  /** Of the text's summary. */
  readonly pooledFeatures: number;
  /** Whether the model is told a guidance scale. */
  readonly guidanceEmbeds: boolean;
  /** Features of a head that are rotated by the index of a text, the row and the column. */
  readonly axes: readonly number[];
}

/** Rows and columns of latents in a token. */
const PATCH_SIZE = 2;
/** Sinusoids that timesteps and guidance become. */
const WAVES = 256;
/** Of all norms. */
const EPSILON = 1e-6;
/** What the model multiplies timesteps from 0 to 1, and the guidance, with. */
const SCALE = 1000;

/** Reads config.json of a FluxTransformer2DModel with diffusers' defaults. */
export function readFluxTransformer2DConfig(raw: RawConfig): FluxTransformer2DConfig {
  const reader = new ConfigReader('transformer/config.json', raw);
  reader.choice('_class_name', ['FluxTransformer2DModel'], 'FluxTransformer2DModel');
  const inChannels = reader.integer('in_channels', 64);
  reader.refuseUnsupported({ patch_size: [1], out_channels: [inChannels] });
  reader.checkDivides('in_channels', inChannels, 'the latents of a token', PATCH_SIZE ** 2);
  const heads = reader.integer('num_attention_heads', 24);
  const headFeatures = reader.integer('attention_head_dim', 128);
  return {
    latentChannels: inChannels / PATCH_SIZE ** 2,
    doubleLayers: reader.integer('num_layers', 19, { most: limits.layers }),
    singleLayers: reader.integer('num_single_layers', 38, { most: limits.layers }),
    heads,
    features: heads * headFeatures,
    textFeatures: reader.integer('joint_attention_dim', 4096),
    pooledFeatures: reader.integer('pooled_projection_dim', 768),
    guidanceEmbeds: reader.boolean('guidance_embeds', false),
    axes: readAxes(reader, headFeatures),
  };
}

function readAxes(reader: ConfigReader, headFeatures: number): readonly number[] {
  const key = 'axes_dims_rope';
  const axes = reader.integers(key, [16, 56, 56]);
  const shown = `${key} = [${axes.join(', ')}]`;
  if (axes.length !== 3) {
    throw reader.invalid(`${shown} has ${axes.length} axes, and tokens have three: text, row and column`);
  }
  if (axes.some((size) => size % 2 !== 0)) {
    throw reader.invalid(`${shown} has an odd number, and features are rotated in pairs`);
  }
  if (sum(axes) !== headFeatures) {
    throw reader.invalid(`${shown} adds up to ${sum(axes)}, not to attention_head_dim = ${headFeatures}`);
  }
  return axes;
}

/** Names of the graph's inputs. */
export const fluxNames = {
  sample: 'sample',
  timestep: 'timestep',
  encoderHiddenStates: 'encoder_hidden_states',
  pooledProjections: 'pooled_projections',
  guidance: 'guidance',
} as const;

/** A transformer as denoising loops know it. */
export function fluxModel(config: FluxTransformer2DConfig): NoiseModel {
  const { latentChannels, doubleLayers, singleLayers, features } = config;
  return {
    component: 'transformer',
    inChannels: latentChannels,
    halvings: Math.log2(PATCH_SIZE),
    blocks: {
      layers: doubleLayers + singleLayers,
      features,
      patchSize: PATCH_SIZE,
      outChannels: latentChannels,
      joint: true,
    },
    inputs: fluxNames,
    schedule: (steps, latent) => ({ sigmas: fluxSigmas(steps), imageTokens: tokensOfPicture(latent) }),
    timestepInput: (timestep) => Math.fround(Math.fround(timestep / SCALE) * SCALE),
    packed: (images) => packLatents(images),
    build: (layers, shape) => new FluxTransformer2DModel(config, layers).build(shape),
  };
}

function tokensOfPicture({ rows, columns }: GridSize): number {
  return (rows / PATCH_SIZE) * (columns / PATCH_SIZE);
}

/**
 * Latents `[images, channels, rows, columns]` as the pipeline of diffusers has them, `[images, tokens, 4
 * channels]`.
 */
function packLatents({ shape, data }: Tensor<'float32'>): Tensor<'float32'> {
  const [images, channels, rows, columns] = shape as [number, number, number, number];
  const packed = new Float32Array(data.length);
  let target = 0;
  for (let image = 0; image < images; image++) {
    for (let row = 0; row < rows; row += PATCH_SIZE) {
      for (let column = 0; column < columns; column += PATCH_SIZE) {
        for (let channel = 0; channel < channels; channel++) {
          const corner = ((image * channels + channel) * rows + row) * columns + column;
          for (const place of [corner, corner + 1, corner + columns, corner + columns + 1]) {
            packed[target++] = data[place] as number;
          }
        }
      }
    }
  }
  const tokens = tokensOfPicture({ rows, columns });
  return float32([images, tokens, PATCH_SIZE ** 2 * channels], packed);
}

/** Places of a text's tokens and of a picture's, `[tokens, 3]` each: index of a text, row, column. */
export function fluxPositions(
  textTokens: number,
  { rows, columns }: GridSize,
): { readonly text: Tensor<'float32'>; readonly image: Tensor<'float32'> } {
  const across = columns / PATCH_SIZE;
  const count = tokensOfPicture({ rows, columns });
  const places = Array.from({ length: count }, (_, token) => [0, Math.floor(token / across), token % across]);
  return { text: float32([textTokens, 3]), image: float32([count, 3], Float32Array.from(places.flat())) };
}

/** Shift, scale and gate of a module, `[batch, 1, features]` each. */
interface ModuleModulation {
  readonly shift: Value;
  readonly scale: Value;
  readonly gate: Value;
}

/** Denoising transformer of FLUX.1, as diffusers' FluxTransformer2DModel.forward. */
export class FluxTransformer2DModel {
  readonly #config: FluxTransformer2DConfig;
  readonly #layers: Layers;

  constructor(config: FluxTransformer2DConfig, layers: Layers) {
    this.#config = config;
    this.#layers = layers;
  }

  /**
   * Adds the model to the graph and declares inputs and output: sample `[batch, channels, rows, columns]` and
   * timestep `[1]` (0 to 1000) of every step; encoder_hidden_states `[batch, tokens, textFeatures]`,
   * pooled_projections `[batch, pooledFeatures]` and, where the model is told it, guidance `[batch]` of the
   * image -> noise_pred `[batch, channels, rows, columns]`, the whole image.
   */
  build({ batch, rows, columns, textTokens }: LatentShape): Value {
    const { latentChannels: channels, doubleLayers, singleLayers, features } = this.#config;
    const layers = this.#layers;
    const grid: PatchGrid = { rows: rows / PATCH_SIZE, columns: columns / PATCH_SIZE, patchSize: PATCH_SIZE };
    const patches = { grid, channels, order: 'channels_first' } as const;
    const text = this.#text(batch, textTokens);
    const time = this.#activeTime(batch);
    const own = text.shape[1] as number;
    const attention = this.#attention(own, textTokens, grid);
    const result = layers.blocks({
      count: doubleLayers + singleLayers,
      batch,
      features,
      grid,
      embed: () => {
        const sample = this.#graph.input(
          fluxNames.sample,
          'float32',
          [batch, channels, rows, columns],
          'step',
        );
        const packed = layers.patchify(sample, 'patches', patches);
        return layers.joinText(text, this.#linear(packed, 'x_embedder', 4 * channels, features), 'tokens');
      },
      block: (x, index) =>
        index < doubleLayers
          ? this.#doubleBlock(x, time, attention, `transformer_blocks.${index}`)
          : this.#singleBlock(x, time, attention, `single_transformer_blocks.${index - doubleLayers}`),
      head: (x) => {
        const [, image] = layers.splitText(x, own, 'norm_out/tokens');
        const [scale, shift] = this.#modulations(time, 'norm_out', ['scale', 'shift']) as [Value, Value];
        const normed = layers.modulatedNorm(image, 'norm_out', EPSILON, { shift, scale });
        const projected = this.#linear(normed, 'proj_out', features, 4 * channels);
        return layers.gatherOutput(layers.unpatchify(projected, 'unpatchify', patches), 'noise_pred');
      },
    });
    layers.output(result);
    return result;
  }

  get #graph(): Graph {
    return this.#layers.kernels.graph;
  }

  #linear(x: Value, name: string, inFeatures: number, outFeatures: number): Value {
    return this.#layers.linear(x, name, { inFeatures, outFeatures, bias: true });
  }

  /** The rank's text in the width of the blocks; the same at every step. */
  #text(batch: number, tokens: number): Value {
    const { textFeatures, features } = this.#config;
    const shape = [batch, tokens, textFeatures];
    const given = this.#graph.input(fluxNames.encoderHiddenStates, 'float32', shape, 'image');
    const own = this.#layers.ownText(given, 'text');
    return this.#linear(own, 'context_embedder', textFeatures, features);
  }

  /**
   * SiLU of what all blocks are told of the timestep, the guidance and the text's summary, `[batch,
   * features]`.
   */
  #activeTime(batch: number): Value {
    const { pooledFeatures, features, guidanceEmbeds } = this.#config;
    const layers = this.#layers;
    const name = 'time_text_embed';
    const pooled = this.#graph.input(
      fluxNames.pooledProjections,
      'float32',
      [batch, pooledFeatures],
      'image',
    );
    let fixed = timestepEmbedding(layers, pooled, `${name}.text_embedder`, pooledFeatures, features);
    if (guidanceEmbeds) {
      const guidance = this.#graph.input(fluxNames.guidance, 'float32', [batch], 'image');
      const scaled = layers.kernels.multiplyNumber(`${name}.guidance_embedder/scaled`, guidance, SCALE);
      fixed = layers.add(fixed, this.#embedNumbers(scaled, 'guidance'), `${name}/fixed`);
    }
    const timestep = this.#graph.input(fluxNames.timestep, 'float32', [1], 'step');
    const embedded = layers.add(fixed, this.#embedNumbers(timestep, 'timestep'), name);
    return layers.activation(embedded, `${name}/silu`, 'silu');
  }

  #embedNumbers(x: Value, what: 'timestep' | 'guidance'): Value {
    const name = `time_text_embed.${what}_embedder`;
    const waves = sinusoidalEmbedding(this.#layers.kernels, `${name}/waves`, x, WAVES, {
      flipSinToCos: true,
      freqShift: 0,
    });
    return timestepEmbedding(this.#layers, waves, name, WAVES, this.#config.features);
  }

  /** What attention has in common in all blocks. */
  #attention(textTokens: number, wholeText: number, grid: PatchGrid): JointAttentionSpec {
    const { heads, features, axes } = this.#config;
    const tables = rotationTables(axes, textTokens, this.#layers.placesOf(grid));
    return {
      heads,
      features,
      epsilon: EPSILON,
      textTokens,
      wholeText,
      cosines: this.#graph.constant('pos_embed/cosines', tables.cosines),
      sines: this.#graph.constant('pos_embed/sines', tables.sines),
    };
  }

  /** What a linear layer makes of the timestep, in parts of `[batch, 1, features]`. */
  #modulations(time: Value, name: string, parts: readonly string[]): Value[] {
    const { features } = this.#config;
    const { kernels } = this.#layers;
    const all = this.#linear(time, `${name}.linear`, features, parts.length * features);
    const batch = all.shape[0] as number;
    const rows = kernels.reshape(`${name}.linear/parts`, all, [batch, parts.length, features]);
    return kernels.split(
      parts.map((part) => `${name}.linear/${part}`),
      rows,
      1,
    );
  }

  #modulation(time: Value, name: string): { attention: ModuleModulation; feedForward: ModuleModulation } {
    const names = ['shift_msa', 'scale_msa', 'gate_msa', 'shift_mlp', 'scale_mlp', 'gate_mlp'];
    const parts = this.#modulations(time, name, names) as [Value, Value, Value, Value, Value, Value];
    return {
      attention: { shift: parts[0], scale: parts[1], gate: parts[2] },
      feedForward: { shift: parts[3], scale: parts[4], gate: parts[5] },
    };
  }

  /** diffusers' FluxTransformerBlock. */
  #doubleBlock(x: Value, time: Value, spec: JointAttentionSpec, name: string): Value {
    const layers = this.#layers;
    const [text, image] = layers.splitText(x, spec.textTokens, `${name}/tokens`);
    const ofText = this.#modulation(time, `${name}.norm1_context`);
    const ofImage = this.#modulation(time, `${name}.norm1`);
    const attn = `${name}.attn`;
    const streams = [
      {
        tokens: layers.modulatedNorm(text, `${name}.norm1_context`, EPSILON, ofText.attention),
        query: `${attn}.add_q_proj`,
        key: `${attn}.add_k_proj`,
        value: `${attn}.add_v_proj`,
        queryNorm: `${attn}.norm_added_q`,
        keyNorm: `${attn}.norm_added_k`,
        out: `${attn}.to_add_out`,
      },
      {
        tokens: layers.modulatedNorm(image, `${name}.norm1`, EPSILON, ofImage.attention),
        ...projectionsOf(attn),
        out: `${attn}.to_out.0`,
      },
    ];
    const attended = layers.jointAttention(streams, attn, spec) as [Value, Value];
    const finish = (stream: Value, change: Value, modulation: typeof ofText, suffix: string): Value => {
      const sum = this.#addGated(stream, change, modulation.attention.gate, `${name}.attn${suffix}/sum`);
      const normed = layers.modulatedNorm(sum, `${name}.norm2${suffix}`, EPSILON, modulation.feedForward);
      const fed = layers.feedForward(normed, `${name}.ff${suffix}`, this.#feedForward);
      return this.#addGated(sum, fed, modulation.feedForward.gate, `${name}/stream${suffix}`);
    };
    return layers.joinText(
      finish(text, attended[0], ofText, '_context'),
      finish(image, attended[1], ofImage, ''),
      name,
    );
  }

  get #feedForward() {
    const { features } = this.#config;
    return { features, innerFeatures: 4 * features, activation: 'gelu_tanh' } as const;
  }

  /** diffusers' FluxSingleTransformerBlock. */
  #singleBlock(x: Value, time: Value, spec: JointAttentionSpec, name: string): Value {
    const { features } = this.#config;
    const [shift, scale, gate] = this.#modulations(time, `${name}.norm`, ['shift', 'scale', 'gate']) as [
      Value,
      Value,
      Value,
    ];
    const normed = this.#layers.modulatedNorm(x, `${name}.norm`, EPSILON, { shift, scale });
    const stream = { tokens: normed, ...projectionsOf(`${name}.attn`) };
    const change = this.#layers.attentionBesideFeedForward(stream, name, {
      ...spec,
      innerFeatures: 4 * features,
    });
    return this.#addGated(x, change, gate, name);
  }

  #addGated(x: Value, change: Value, gate: Value, name: string): Value {
    return this.#layers.add(this.#layers.kernels.multiply(`${name}/gated`, change, gate), x, name);
  }
}

/** Layers below `name` that a picture's tokens have in every block. */
function projectionsOf(name: string) {
  return {
    query: `${name}.to_q`,
    key: `${name}.to_k`,
    value: `${name}.to_v`,
    queryNorm: `${name}.norm_q`,
    keyNorm: `${name}.norm_k`,
  };
}

/**
 * Cosines and sines of the angles by which tokens are rotated, `[tokens, pairs of a head]`: of text, which is
 * at place 0 of all axes, and of an area of patches. As diffusers' FluxPosEmbed.
 */
export function rotationTables(
  axes: readonly number[],
  textTokens: number,
  { row, rows, column, columns }: Area,
): { readonly cosines: Tensor<'float32'>; readonly sines: Tensor<'float32'> } {
  const pairs = sum(axes) / 2;
  const tokens = textTokens + rows * columns;
  const cosines = new Float32Array(tokens * pairs).fill(1);
  const sines = new Float32Array(tokens * pairs);
  for (let token = 0; token < rows * columns; token++) {
    const place = [0, row + Math.floor(token / columns), column + (token % columns)];
    const angles = axes.flatMap((size, axis) =>
      Array.from({ length: size / 2 }, (_, pair) => (place[axis] as number) / 10000 ** ((2 * pair) / size)),
    );
    const start = (textTokens + token) * pairs;
    cosines.set(angles.map(Math.cos), start);
    sines.set(angles.map(Math.sin), start);
  }
  return { cosines: float32([tokens, pairs], cosines), sines: float32([tokens, pairs], sines) };
}
