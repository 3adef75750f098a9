import { sum } from '../../base/numbers.js';
import { splitEvenly } from '../../base/split.js';
import type { Range } from '../../checkpoint/formats/slices.js';
import type { WeightSource } from '../../checkpoint/weights.js';
import type { Kernels } from '../../graph/kernels/kernels.js';
import type { Value } from '../../graph/value.js';
import { itemBytes } from '../../tensor/element-type.js';
import { elementCount, type Shape } from '../../tensor/tensor.js';
import { gatherParts } from '../gather-parts.js';
import type { FeedForwardSpec } from '../layers/common.js';
import type { ConvSpec, ResnetSpec } from '../layers/image.js';
import { type JointLayers, type MixJoint, mixStreams } from '../layers/joint-attention.js';
import { SingleDevice } from '../layers/single-device.js';
import type { AttentionSpec, JointAttentionSpec, JointStream } from '../layers/tokens.js';
import { readWhole, SlotTable } from '../slots.js';
import { type LayerStrategy, plainRow, type StrategyContext, synchronousStep } from '../strategy.js';
import type { RankRole } from '../topology.js';

type TensorContext = StrategyContext<object>;

/**
 * Tensor parallelism: every rank has the whole image and a part of the weights. Attention is divided by
 * heads, feed-forward layers by their inner features, residual blocks by the groups of their second norm,
 * other 3x3 convolutions by input channels; the partial results are added. As distrifuser's modules/tp,
 * except that what does not divide evenly is divided unevenly.
 */
export const tensor: LayerStrategy<object> = {
  ...plainRow,
  kind: 'layers',
  text: 'a part of the heads and channels of every layer each',
  describeSteps: () => 'tensor parallelism',
  create: (context) => {
    const slots = new SlotTable(context.topology.worldSize);
    return {
      variants: 1,
      layers: (_variant, kernels, weights) => new TensorParallel(kernels, weights, context, slots),
      variantOf: () => 0,
      step: synchronousStep,
      describe: ({ patchGroup, patch }) =>
        patchGroup.length === 1
          ? 'all heads and channels'
          : `part ${patch + 1} of ${patchGroup.length} of heads and channels`,
      slots,
    };
  },
};

class TensorParallel extends SingleDevice {
  readonly #context: TensorContext;
  readonly #slots: SlotTable;

  constructor(kernels: Kernels, weights: WeightSource, context: TensorContext, slots: SlotTable) {
    super(kernels, weights);
    this.#context = context;
    this.#slots = slots;
  }

  /** The latents have few channels: every rank convolves them whole. */
  override convIn(x: Value, name: string, spec: ConvSpec): Value {
    return super.conv2d(x, name, spec);
  }

  /** Input channels are divided; 1x1 convolutions are small and stay whole. */
  override conv2d(x: Value, name: string, spec: ConvSpec): Value {
    if (this.#alone || spec.kernel === 1) return super.conv2d(x, name, spec);
    const [batch, , rows, columns] = x.shape as [number, number, number, number];
    const { outChannels, stride = 1 } = spec;
    const shape = [batch, outChannels, Math.ceil(rows / stride), Math.ceil(columns / stride)];
    const ranges = this.#divide(spec.inChannels, 1);
    return this.#reduce(name, x, shape, ranges, (own, partial) => {
      const part = this.kernels.slice(`${name}/channels`, x, 1, own[0], own[1]);
      return this.#convolvePart(part, partial, name, spec, own);
    });
  }

  /** The first convolution makes whole groups of the second norm; the second one takes them in. */
  override resnet(x: Value, time: Value | undefined, name: string, spec: ResnetSpec): Value {
    if (this.#alone) return super.resnet(x, time, name, spec);
    const { inChannels, outChannels, groups, epsilon } = spec;
    const norm = { groups, epsilon, activation: 'silu' } as const;
    const input = this.groupNorm(x, `${name}.norm1`, { ...norm, channels: inChannels });
    const ranges = this.#divide(outChannels, outChannels / groups);
    const hidden = this.#reduce(`${name}.conv2`, x, x.shape.with(1, outChannels), ranges, (own, partial) => {
      const first = this.#addTime(this.#firstConv(input, name, spec, own), time, name, spec, own);
      const ownGroups = (own[1] - own[0]) / (outChannels / groups);
      const normed = this.#normPart(first, `${name}.norm2`, outChannels, own, { ...norm, groups: ownGroups });
      const conv = { inChannels: outChannels, outChannels, kernel: 3 } as const;
      return this.#convolvePart(normed, partial, `${name}.conv2`, conv, own);
    });
    const shortcut =
      inChannels === outChannels
        ? x
        : super.conv2d(x, `${name}.conv_shortcut`, { inChannels, outChannels, kernel: 1 });
    return this.add(shortcut, hidden, name);
  }

  override selfAttention(x: Value, name: string, spec: AttentionSpec): Value {
    return this.#alone ? super.selfAttention(x, name, spec) : this.#attention(x, x, name, spec);
  }

  override crossAttention(
    x: Value,
    context: Value,
    name: string,
    spec: AttentionSpec,
    scoreBias?: Value,
  ): Value {
    return this.#alone
      ? super.crossAttention(x, context, name, spec, scoreBias)
      : this.#attention(x, context, name, spec, scoreBias);
  }

  override feedForward(x: Value, name: string, spec: FeedForwardSpec): Value {
    if (this.#alone) return super.feedForward(x, name, spec);
    const { features, innerFeatures, activation } = spec;
    const ranges = this.#divide(innerFeatures, 1);
    return this.#reduce(`${name}.net.2`, x, x.shape, ranges, ([start, end], partial) => {
      // GEGLU has values and, in the second half of the rows, their gates.
      const halves = activation === 'geglu' ? [0, innerFeatures] : [0];
      const own = halves.map((from): Range => [from + start, from + end]);
      const rows = halves.length * innerFeatures;
      const weight = this.parameterSlice(`${name}.net.0.proj.weight`, [rows, features], 0, own);
      const bias = this.parameterSlice(`${name}.net.0.proj.bias`, [rows], 0, own);
      const active = this.activeLinear(x, name, weight, bias, activation);
      return this.#linearColumns(active, partial, `${name}.net.2`, [features, innerFeatures], [[start, end]]);
    });
  }

  /** The streams' parts of the result are added up together. */
  override jointAttention(
    streams: readonly (JointStream & { readonly out: string })[],
    name: string,
    spec: JointAttentionSpec,
  ): readonly Value[] {
    if (this.#alone) return super.jointAttention(streams, name, spec);
    const { features } = spec;
    const counts = streams.map(({ tokens }) => tokens.shape[1] as number);
    const first = streams[0] as JointStream;
    const shape = first.tokens.shape.with(1, sum(counts));
    const cuts = counts.map((_, index) => sum(counts.slice(0, index)));
    const bounds = (index: number) =>
      [cuts[index] as number, (cuts[index] as number) + (counts[index] as number)] as const;
    const ranges = this.#divideHeads(spec);
    const total = this.#reduce(`${name}.outs`, first.tokens, shape, ranges, (own, partial) => {
      const mixed = mixStreams(this.#shareOf(own), this.#mixShare, streams, name, spec);
      const parts = streams.map(({ out }, index) => {
        const tokens = this.kernels.slice(`${name}.attention/${index}`, mixed, 1, ...bounds(index));
        return this.#linearColumns(tokens, `${out}/partial`, out, [features, features], [own]);
      });
      return this.kernels.concat(partial, parts, 1);
    });
    return streams.map(({ out }, index) => this.kernels.slice(out, total, 1, ...bounds(index)));
  }

  /** A rank has some heads and some inner features; who has no head has inner features all the same. */
  override attentionBesideFeedForward(
    stream: JointStream,
    name: string,
    spec: JointAttentionSpec & { readonly innerFeatures: number },
  ): Value {
    if (this.#alone) return super.attentionBesideFeedForward(stream, name, spec);
    const { features, innerFeatures } = spec;
    const { tokens } = stream;
    const heads = this.#divideHeads(spec)[this.#index] as Range;
    const ranges = this.#divide(innerFeatures, 1);
    return this.#reduce(`${name}.proj_out`, tokens, tokens.shape, ranges, ([start, end], partial) => {
      const rows: Range[] = [[start, end]];
      const wide = this.#linearRows(tokens, `${name}.proj_mlp`, [innerFeatures, features], rows, true);
      const active = this.activation(wide, `${name}.act_mlp`, 'gelu_tanh');
      const shape = [features, features + innerFeatures];
      const columns: Range = [features + start, features + end];
      if (!hasShare(heads)) {
        return this.#linearColumns(active, partial, `${name}.proj_out`, shape, [columns]);
      }
      const mixed = mixStreams(this.#shareOf(heads), this.#mixShare, [stream], `${name}.attn`, spec);
      const both = this.kernels.concat(`${name}/both`, [mixed, active], 2);
      return this.#linearColumns(both, partial, `${name}.proj_out`, shape, [heads, columns]);
    });
  }

  /** Features of each rank's heads. */
  #divideHeads({ features, heads }: JointAttentionSpec): readonly Range[] {
    return this.#divide(features, features / heads);
  }

  /** Layers whose results are these features alone. */
  #shareOf(own: Range): JointLayers {
    return {
      kernels: this.kernels,
      parameter: (name, shape) => this.parameter(name, shape),
      activation: (x, name, kind) => this.activation(x, name, kind),
      linear: (x, name, { inFeatures, outFeatures, bias }) =>
        this.#linearRows(x, name, [outFeatures, inFeatures], [own], bias),
    };
  }

  readonly #mixShare: MixJoint = (name, query, key, value, { heads, features }) => {
    const width = features / heads;
    const shape = { heads: (query.shape[2] as number) / width, causal: false };
    return this.kernels.attention(name, query, key, value, shape);
  };

  /**
   * With a split batch the two halves of the ranks swap their images; otherwise every rank has the whole
   * already.
   */
  override gatherOutput(x: Value, name: string): Value {
    const { topology, role, model } = this.#context;
    if (!topology.splitBatch) return x;
    return gatherParts(this.kernels, this.#slots, x, name, {
      topology,
      role,
      participantsOf: (member) => topology.roles.filter(({ patch }) => patch === member.patch),
      areaOf: () => ({ row: 0, column: 0, ...model.latent }),
      size: model.latent,
    });
  }

  get #alone(): boolean {
    return this.#context.topology.patches === 1;
  }

  get #index(): number {
    return this.#context.role.patch;
  }

  /**
   * Parts of `length` by rank of the group, in multiples of `unit`; the first ones get what is left over,
   * some may get nothing.
   */
  #divide(length: number, unit: number): readonly Range[] {
    const cuts = splitEvenly(length / unit, this.#context.topology.patches);
    return cuts.slice(1).map((end, part) => [(cuts[part] as number) * unit, end * unit]);
  }

  #attention(x: Value, context: Value, name: string, spec: AttentionSpec, scoreBias?: Value): Value {
    const { features, contextFeatures, innerFeatures, heads, bias, causal, projections } = spec;
    const width = innerFeatures / heads;
    const ranges = this.#divide(innerFeatures, width);
    const [query, key, value, out] = projections.map((part) => `${name}.${part}`) as [
      string,
      string,
      string,
      string,
    ];
    return this.#reduce(out, x, x.shape, ranges, (own, partial) => {
      const project = (tokens: Value, part: string, from: number) =>
        this.#linearRows(tokens, part, [innerFeatures, from], [own], bias);
      const shape = { heads: (own[1] - own[0]) / width, causal };
      const [asked, keys, values] = [
        project(x, query, features),
        project(context, key, contextFeatures),
        project(context, value, contextFeatures),
      ];
      const mixed = scoreBias
        ? this.kernels.biasedAttention(`${name}.attention`, asked, keys, values, scoreBias, shape)
        : this.kernels.attention(`${name}.attention`, asked, keys, values, shape);
      return this.#linearColumns(mixed, partial, out, [features, innerFeatures], [own]);
    });
  }

  #firstConv(x: Value, name: string, { inChannels, outChannels }: ResnetSpec, own: Range): Value {
    const weight = this.parameterSlice(`${name}.conv1.weight`, [outChannels, inChannels, 3, 3], 0, [own]);
    const bias = this.parameterSlice(`${name}.conv1.bias`, [outChannels], 0, [own]);
    return this.kernels.conv2d(`${name}.conv1`, x, weight, bias, { stride: 1, padding: [1, 1, 1, 1] });
  }

  #addTime(
    x: Value,
    time: Value | undefined,
    name: string,
    { outChannels, timeFeatures }: ResnetSpec,
    own: Range,
  ): Value {
    if (!time || timeFeatures === undefined) return x;
    const shift = this.#linearRows(time, `${name}.time_emb_proj`, [outChannels, timeFeatures], [own], true);
    const perChannel = this.kernels.reshape(`${name}.time_emb_proj/image`, shift, [...shift.shape, 1, 1]);
    return this.add(x, perChannel, `${name}.conv1/time`);
  }

  #normPart(
    x: Value,
    name: string,
    channels: number,
    own: Range,
    norm: { groups: number; epsilon: number; activation: 'silu' },
  ): Value {
    const weight = this.parameterSlice(`${name}.weight`, [channels], 0, [own]);
    const bias = this.parameterSlice(`${name}.bias`, [channels], 0, [own]);
    return this.kernels.groupNorm(name, x, weight, bias, norm);
  }

  /** A convolution of some input channels: a part of every output, without bias but for the first rank. */
  #convolvePart(x: Value, partial: string, name: string, spec: ConvSpec, own: Range): Value {
    const { inChannels, outChannels, kernel, stride = 1 } = spec;
    const weight = this.parameterSlice(`${name}.weight`, [outChannels, inChannels, kernel, kernel], 1, [own]);
    return this.kernels.conv2d(partial, x, weight, this.#biasOnce(name, outChannels), {
      stride,
      padding: [1, 1, 1, 1],
    });
  }

  /** Some outputs of a linear layer of shape `[out, in]`. */
  #linearRows(x: Value, name: string, shape: Shape, rows: readonly Range[], bias: boolean): Value {
    const weight = this.parameterSlice(`${name}.weight`, shape, 0, rows);
    const shift = bias ? this.parameterSlice(`${name}.bias`, [shape[0] as number], 0, rows) : undefined;
    return this.kernels.linear(name, x, weight, shift);
  }

  /** Some inputs of a linear layer: a part of every output, without bias but for the first rank. */
  #linearColumns(x: Value, partial: string, name: string, shape: Shape, columns: readonly Range[]): Value {
    const weight = this.parameterSlice(`${name}.weight`, shape, 1, columns);
    return this.kernels.linear(partial, x, weight, this.#biasOnce(name, shape[0] as number));
  }

  /** A bias is added by the first rank, which always has a part. */
  #biasOnce(name: string, length: number): Value | undefined {
    return this.#index === 0 ? this.parameter(`${name}.bias`, [length]) : undefined;
  }

  /**
   * The sum, of this shape, of what `compute` makes of all ranks' shares of layer `name`. A rank without a
   * share computes nothing; `x` then only tells the operator where in the graph it stands.
   */
  #reduce(
    name: string,
    x: Value,
    shape: Shape,
    ranges: readonly Range[],
    compute: (own: Range, partial: string) => Value,
  ): Value {
    const { patchGroup, patch } = this.#context.role;
    const own = ranges[patch] as Range;
    const partial = hasShare(own) ? compute(own, `${name}/partial`) : x;
    return this.kernels.exchange.allReduceSum(name, partial, shape, {
      ...this.#reserve(name, itemBytes[x.dtype], elementCount(shape), ranges),
      peers: patchGroup,
      index: patch,
      sources: patchGroup.filter((_, index) => hasShare(ranges[index] as Range)),
    });
  }

  /** One slot for the parts; with more than two ranks one more, in which each leaves its share of the sum. */
  #reserve(
    name: string,
    itemSize: number,
    count: number,
    ranges: readonly Range[],
  ): { slot: number; shareSlot: number } {
    const { topology } = this.#context;
    const { patches } = topology;
    const place = (rank: number) => (topology.roles[rank] as RankRole).patch;
    const group = (rank: number) => (topology.roles[rank] as RankRole).patchGroup;
    const cut = (part: number) => Math.floor((count * part) / patches);
    const share = (rank: number) => (patches > 2 ? itemSize * (cut(place(rank) + 1) - cut(place(rank))) : 0);
    const part = (rank: number) => (hasShare(ranges[place(rank)] as Range) ? itemSize * count : 0);
    const kind = 'partial_sums' as const;
    return {
      slot: this.#slots.add({
        name,
        kind,
        age: 'fresh',
        bytes: part,
        // Among more than two ranks each reads and adds its share of the parts.
        reads: (reader, publisher) =>
          !group(reader).includes(publisher) || part(publisher) === 0
            ? 0
            : patches > 2
              ? share(reader)
              : part(publisher),
      }),
      shareSlot: this.#slots.add({
        name: `${name}/share`,
        kind,
        age: 'fresh',
        bytes: share,
        reads: readWhole(group, share),
      }),
    };
  }
}

function hasShare([start, end]: Range): boolean {
  return end > start;
}
