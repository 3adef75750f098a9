import { type Range, sliceTensor } from '../../checkpoint/formats/slices.js';
import type { WeightSource } from '../../checkpoint/weights.js';
import type { Activation, Kernels, Padding } from '../../graph/kernels/kernels.js';
import type { Value } from '../../graph/value.js';
import { float32, type Shape, type Tensor } from '../../tensor/tensor.js';
import type { Area } from '../gather-parts.js';
import type { FeedForwardSpec, LayerNormSpec, LinearSpec, Modulation } from './common.js';
import type { ConvSpec, GroupNormSpec, ResnetSpec } from './image.js';
import { attentionBesideFeedForward, jointAttention, type MixJoint } from './joint-attention.js';
import type { Layers } from './layers.js';
import type {
  AttentionSpec,
  BlocksSpec,
  GridPositions,
  JointAttentionSpec,
  JointStream,
  PatchEmbedSpec,
  PatchGrid,
  PatchSpec,
} from './tokens.js';

/**
 * The whole image on one rank: what diffusers computes. Strategies extend it and replace the layers that look
 * beyond a rank's own part.
 */
export class SingleDevice implements Layers {
  readonly kernels: Kernels;
  readonly #weights: WeightSource;

  constructor(kernels: Kernels, weights: WeightSource) {
    this.kernels = kernels;
    this.#weights = weights;
  }

  convIn(x: Value, name: string, spec: ConvSpec): Value {
    return this.conv2d(x, name, spec);
  }

  conv2d(x: Value, name: string, spec: ConvSpec): Value {
    const after = spec.kernel === 3 ? 1 : 0;
    const before = spec.zeros === 'after' ? 0 : after;
    return this.convolve(x, name, spec, [before, before, after, after]);
  }

  gatherOutput(x: Value, _name: string): Value {
    return x;
  }

  resnet(x: Value, timeEmbedding: Value | undefined, name: string, spec: ResnetSpec): Value {
    const { inChannels, outChannels, groups, epsilon, timeFeatures } = spec;
    const norm = { groups, epsilon, activation: 'silu' } as const;
    const conv = { kernel: 3, outChannels } as const;
    const norm1 = { ...norm, channels: inChannels };
    let hidden = this.normedConv2d(x, `${name}.norm1`, norm1, `${name}.conv1`, { ...conv, inChannels });
    if (timeEmbedding && timeFeatures !== undefined) {
      hidden = this.#addTime(hidden, timeEmbedding, name, timeFeatures, outChannels);
    }
    const norm2 = { ...norm, channels: outChannels };
    const conv2 = { ...conv, inChannels: outChannels };
    hidden = this.normedConv2d(hidden, `${name}.norm2`, norm2, `${name}.conv2`, conv2);
    const shortcut =
      inChannels === outChannels
        ? x
        : this.conv2d(x, `${name}.conv_shortcut`, { inChannels, outChannels, kernel: 1 });
    return this.add(shortcut, hidden, name);
  }

  #addTime(x: Value, time: Value, name: string, inFeatures: number, outFeatures: number): Value {
    const shift = this.linear(time, `${name}.time_emb_proj`, { inFeatures, outFeatures, bias: true });
    const batch = shift.shape[0] as number;
    const perChannel = this.kernels.reshape(`${name}.time_emb_proj/image`, shift, [batch, outFeatures, 1, 1]);
    return this.add(x, perChannel, `${name}.conv1/time`);
  }

  groupNorm(x: Value, name: string, spec: GroupNormSpec): Value {
    const weight = this.parameter(`${name}.weight`, [spec.channels]);
    const bias = this.parameter(`${name}.bias`, [spec.channels]);
    return this.kernels.groupNorm(name, x, weight, bias, spec);
  }

  normedConv2d(x: Value, normName: string, norm: GroupNormSpec, convName: string, conv: ConvSpec): Value {
    return this.conv2d(this.groupNorm(x, normName, norm), convName, conv);
  }

  upsample(x: Value, name: string, like: Value | undefined): Value {
    let doubled = this.kernels.double(name, x);
    for (const axis of like ? [2, 3] : []) {
      const length = like?.shape[axis] as number;
      if (length !== doubled.shape[axis]) {
        doubled = this.kernels.slice(`${name}/cut${axis}`, doubled, axis, 0, length);
      }
    }
    return doubled;
  }

  concat(a: Value, b: Value, name: string): Value {
    return this.kernels.concat(name, [a, b], 1);
  }

  selfAttention(x: Value, name: string, spec: AttentionSpec): Value {
    return this.crossAttention(x, x, name, spec);
  }

  crossAttention(x: Value, context: Value, name: string, spec: AttentionSpec, scoreBias?: Value): Value {
    const [key, value] = this.keysAndValues(context, name, spec);
    return this.attend(x, name, spec, (query, mixed) =>
      scoreBias
        ? this.kernels.biasedAttention(mixed, query, key, value, scoreBias, { heads: spec.heads })
        : this.kernels.attention(mixed, query, key, value, spec),
    );
  }

  jointAttention(
    streams: readonly (JointStream & { readonly out: string })[],
    name: string,
    spec: JointAttentionSpec,
  ): readonly Value[] {
    return jointAttention(this, this.#mix, streams, name, spec);
  }

  attentionBesideFeedForward(
    stream: JointStream,
    name: string,
    spec: JointAttentionSpec & { readonly innerFeatures: number },
  ): Value {
    return attentionBesideFeedForward(this, this.#mix, stream, name, spec);
  }

  readonly #mix: MixJoint = (...given) => this.mixJoint(...given);

  /** What the rank's own queries make of all keys and values, `[batch, own tokens, features]` each. */
  protected mixJoint(...[name, query, key, value, { heads }]: Parameters<MixJoint>): Value {
    return this.kernels.attention(name, query, key, value, { heads, causal: false });
  }

  ownText(text: Value, _name: string): Value {
    return text;
  }

  joinText(text: Value, image: Value, name: string): Value {
    return this.kernels.concat(name, [text, image], 1);
  }

  splitText(joined: Value, textTokens: number, name: string): [text: Value, image: Value] {
    const end = joined.shape[1] as number;
    return [
      this.kernels.slice(`${name}/text`, joined, 1, 0, textTokens),
      this.kernels.slice(`${name}/image`, joined, 1, textTokens, end),
    ];
  }

  feedForward(x: Value, name: string, { features, innerFeatures, activation }: FeedForwardSpec): Value {
    const wide = activation === 'geglu' ? 2 * innerFeatures : innerFeatures;
    const weight = this.parameter(`${name}.net.0.proj.weight`, [wide, features]);
    const bias = this.parameter(`${name}.net.0.proj.bias`, [wide]);
    const active = this.activeLinear(x, name, weight, bias, activation);
    return this.linear(active, `${name}.net.2`, {
      inFeatures: innerFeatures,
      outFeatures: features,
      bias: true,
    });
  }

  layerNorm(x: Value, name: string, { features, epsilon }: LayerNormSpec): Value {
    const weight = this.parameter(`${name}.weight`, [features]);
    return this.kernels.layerNorm(name, x, weight, this.parameter(`${name}.bias`, [features]), epsilon);
  }

  modulatedNorm(x: Value, name: string, epsilon: number, { shift, scale }: Modulation): Value {
    const { kernels } = this;
    const normed = kernels.normalize(name, x, epsilon);
    const scaled = kernels.multiply(`${name}/scaled`, normed, kernels.addNumber(`${name}/scale`, scale, 1));
    return kernels.add(`${name}/modulated`, scaled, shift);
  }

  linear(x: Value, name: string, { inFeatures, outFeatures, bias }: LinearSpec): Value {
    const weight = this.parameter(`${name}.weight`, [outFeatures, inFeatures]);
    return this.kernels.linear(
      name,
      x,
      weight,
      bias ? this.parameter(`${name}.bias`, [outFeatures]) : undefined,
    );
  }

  embedding(ids: Value, name: string, { entries, features }: { entries: number; features: number }): Value {
    return this.kernels.embedding(name, this.parameter(`${name}.weight`, [entries, features]), ids);
  }

  parameter(name: string, shape: readonly number[]): Value {
    return this.kernels.graph.weight(this.#weights.get(name, shape));
  }

  /** Ranges of a weight of `shape` along an axis: all that is read of it. */
  protected parameterSlice(name: string, shape: Shape, axis: number, ranges: readonly Range[]): Value {
    return this.kernels.graph.slice(sliceTensor(this.#weights.get(name, shape), axis, ranges));
  }

  activation(x: Value, name: string, kind: Activation): Value {
    return this.kernels.activation(name, x, kind);
  }

  add(a: Value, b: Value, name: string): Value {
    return this.kernels.add(name, a, b);
  }

  patchEmbed(x: Value, name: string, spec: PatchEmbedSpec): Value {
    const { inChannels, features, grid } = spec;
    const { patchSize } = grid;
    const own = this.ownPatches(x, name, grid);
    const weight = this.parameter(`${name}.proj.weight`, [features, inChannels, patchSize, patchSize]);
    const bias = this.parameter(`${name}.proj.bias`, [features]);
    const options = { stride: patchSize, padding: [0, 0, 0, 0] } as const;
    const patches = this.kernels.conv2d(`${name}.proj`, own, weight, bias, options);
    return this.#addPositions(patches, name, this.gridPositions(spec));
  }

  /**
   * Row by row, so that the tables stay small and need no pass of their own over all tokens before the first
   * step.
   */
  #addPositions(patches: Value, name: string, positions: GridPositions): Value {
    const { kernels } = this;
    const [batch, features, rows, columns] = patches.shape as [number, number, number, number];
    const grid = kernels.transpose(`${name}/grid`, patches, [0, 2, 3, 1]);
    const ofColumns = kernels.graph.constant(`${name}/columns`, positions.columns);
    const ofRows = kernels.graph.constant(`${name}/rows`, float32([rows, 1, features], positions.rows.data));
    const placed = kernels.add(`${name}/in_column`, grid, ofColumns);
    const sum = kernels.add(`${name}/in_row`, placed, ofRows);
    return kernels.reshape(name, sum, [batch, rows * columns, features]);
  }

  patchify(x: Value, name: string, { grid, channels, order }: PatchSpec): Value {
    const own = this.ownPatches(x, name, grid);
    const batch = x.shape[0] as number;
    const { patchSize: size } = grid;
    const { rows, columns } = this.gridArea(grid);
    const squares = this.kernels.reshape(`${name}/squares`, own, [
      batch,
      channels,
      rows,
      size,
      columns,
      size,
    ]);
    const axes = order === 'channels_first' ? [0, 2, 4, 1, 3, 5] : [0, 2, 4, 3, 5, 1];
    const patches = this.kernels.transpose(`${name}/patches`, squares, axes);
    return this.kernels.reshape(name, patches, [batch, rows * columns, size * size * channels]);
  }

  unpatchify(x: Value, name: string, { grid, channels, order }: PatchSpec): Value {
    const batch = x.shape[0] as number;
    const { patchSize: size } = grid;
    const { rows, columns } = this.gridArea(grid);
    const first = order === 'channels_first';
    const patch = first ? [channels, size, size] : [size, size, channels];
    const squares = this.kernels.reshape(`${name}/squares`, x, [batch, rows, columns, ...patch]);
    const axes = first ? [0, 3, 1, 4, 2, 5] : [0, 5, 1, 3, 2, 4];
    const planes = this.kernels.transpose(`${name}/planes`, squares, axes);
    return this.kernels.reshape(name, planes, [batch, channels, rows * size, columns * size]);
  }

  blocks({ count, embed, block, head }: BlocksSpec): Value {
    let x = embed();
    for (let index = 0; index < count; index++) x = block(x, index);
    return head(x);
  }

  output(x: Value): void {
    this.kernels.graph.output(x);
  }

  toTokens(x: Value, name: string): Value {
    const [batch, channels, rows, columns] = x.shape as [number, number, number, number];
    const flat = this.kernels.reshape(`${name}/flat`, x, [batch, channels, rows * columns]);
    return this.kernels.transpose(name, flat, [0, 2, 1]);
  }

  toImage(x: Value, name: string, like: Value): Value {
    const [batch, , features] = x.shape as [number, number, number];
    const [rows, columns] = like.shape.slice(2) as [number, number];
    const planes = this.kernels.transpose(`${name}/planes`, x, [0, 2, 1]);
    return this.kernels.reshape(name, planes, [batch, features, rows, columns]);
  }

  /** Of the whole latents those that this rank's tokens are made of. */
  protected ownPatches(x: Value, name: string, grid: PatchGrid): Value {
    const { row, rows, column, columns } = this.gridArea(grid);
    const ownRows = rows === grid.rows ? x : this.cutPatches(x, name, grid, 2, row, rows);
    return columns === grid.columns ? ownRows : this.cutPatches(ownRows, name, grid, 3, column, columns);
  }

  /** `count` rows (axis 2) or columns (axis 3) of patches. */
  protected cutPatches(
    x: Value,
    name: string,
    { patchSize }: PatchGrid,
    axis: 2 | 3,
    start: number,
    count: number,
  ): Value {
    const end = (start + count) * patchSize;
    return this.kernels.slice(`${name}/part${axis}`, x, axis, start * patchSize, end);
  }

  placesOf(grid: PatchGrid): Area {
    return this.gridArea(grid);
  }

  /** Which patches this rank's tokens are. */
  protected gridArea({ rows, columns }: PatchGrid): Area {
    return { row: 0, rows, column: 0, columns };
  }

  /** Positions of this rank's tokens: their places in the whole image. */
  protected gridPositions({ grid, positions }: PatchEmbedSpec): GridPositions {
    const { row, rows, column, columns } = this.gridArea(grid);
    const whole = positions(grid.rows, grid.columns);
    return {
      rows: tableRows(whole.rows, row, rows),
      columns: tableRows(whole.columns, column, columns),
    };
  }

  /** The first layer of a feed-forward module, with its activation. */
  protected activeLinear(
    x: Value,
    name: string,
    weight: Value,
    bias: Value,
    kind: FeedForwardSpec['activation'],
  ): Value {
    const result = `${name}.net.0`;
    if (kind === 'geglu') return this.kernels.linearGeglu(result, x, weight, bias);
    return this.kernels.activation(result, this.kernels.linear(`${result}.proj`, x, weight, bias), kind);
  }

  /** Keys and values of tokens, `[batch, tokens, innerFeatures]` each. */
  protected keysAndValues(tokens: Value, name: string, spec: AttentionSpec): [Value, Value] {
    const { contextFeatures: inFeatures, innerFeatures: outFeatures, bias, projections } = spec;
    const [, key, value] = projections;
    return [
      this.linear(tokens, `${name}.${key}`, { inFeatures, outFeatures, bias }),
      this.linear(tokens, `${name}.${value}`, { inFeatures, outFeatures, bias }),
    ];
  }

  /** Queries of `x`, what `mix` makes of them, and the last projection. */
  protected attend(
    x: Value,
    name: string,
    spec: AttentionSpec,
    mix: (query: Value, name: string) => Value,
  ): Value {
    const { features, innerFeatures, bias, projections } = spec;
    const [query, , , out] = projections.map((part) => `${name}.${part}`) as [string, string, string, string];
    const asked = this.linear(x, query, { inFeatures: features, outFeatures: innerFeatures, bias });
    const mixed = mix(asked, `${name}.attention`);
    return this.linear(mixed, out, { inFeatures: innerFeatures, outFeatures: features, bias: true });
  }

  /** A convolution of what is there, with the given zeros around it. */
  protected convolve(x: Value, name: string, spec: ConvSpec, padding: Padding): Value {
    const { inChannels, outChannels, kernel, stride = 1 } = spec;
    const weight = this.parameter(`${name}.weight`, [outChannels, inChannels, kernel, kernel]);
    const bias = this.parameter(`${name}.bias`, [outChannels]);
    return this.kernels.conv2d(name, x, weight, bias, { stride, padding });
  }
}

function tableRows({ shape, data }: Tensor<'float32'>, start: number, count: number): Tensor<'float32'> {
  const width = shape[1] as number;
  return float32([count, width], data.subarray(start * width, (start + count) * width));
}
