import { sum } from '../../base/numbers.js';
import { int, ints } from '../../graph/value.js';
import { float32, type Shape, type Tensor } from '../../tensor/tensor.js';
import {
  type Channels,
  type ConvSpec,
  type InceptionLayers,
  inception,
  inceptionConvolutions,
} from './inception-layers.js';
import type { NetworkWeights } from './network-weights.js';
import { type Edge, NetworkGraph, type NetworkOptions, OnnxNetwork } from './onnx-network.js';
import type { FeatureNetwork } from './types.js';

const SIDE = 299;
const BATCH_NORM_EPSILON = 0.001;

/**
 * The parts of a convolution by torchvision's names below its path, and their shapes. `bn.weight` (gamma) may
 * be missing: it then is 1.
 */
export function convolutionShapes({ weight }: ConvSpec): ReadonlyMap<string, Shape> {
  const channels = [weight[0] as number];
  return new Map([
    ['conv.weight', weight],
    ['bn.bias', channels],
    ['bn.running_mean', channels],
    ['bn.running_var', channels],
    ['bn.weight', channels],
  ]);
}

/** The one part of a convolution that TensorFlow's network does not have. */
export const optionalPart = 'bn.weight';

/** Inception-v3 as clean-fid uses it in its mode `clean`. */
export async function createInception(
  weights: NetworkWeights,
  options: NetworkOptions,
): Promise<FeatureNetwork> {
  const network = await OnnxNetwork.create(await buildModel(weights), options);
  return {
    features: (pixels, batch) => network.run(pixels, [batch, SIDE, SIDE, 3]),
    release: () => network.release(),
  };
}

async function buildModel(weights: NetworkWeights): Promise<Uint8Array> {
  const graph = new NetworkGraph();
  const folded = new Map<string, Folded>();
  for (const { name } of inceptionConvolutions()) folded.set(name, await fold(weights, name));
  const rows = graph.node('Transpose', 'planes', [{ name: 'pixels' }], { perm: ints([0, 3, 1, 2]) });
  const centred = graph.node('Sub', 'centred', [rows, graph.scalar('centre', 128)]);
  const scaled = graph.node('Div', 'scaled', [centred, graph.scalar('scale', 128)]);
  const last = inception(new OnnxLayers(graph, folded), { ...scaled, channels: 3 });
  const mean = graph.node('GlobalAveragePool', 'mean', [last]);
  return graph.compile('pixels', 4, graph.node('Flatten', 'features', [mean], { axis: int(1) }));
}

/** A convolution that does what the one without bias and its batch norm did. */
interface Folded {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

async function fold(weights: NetworkWeights, name: string): Promise<Folded> {
  const part = async (key: string) => (await weights.read(`${name}.${key}`)).data;
  const weight = await weights.read(`${name}.conv.weight`);
  const [beta, mean, variance] = [
    await part('bn.bias'),
    await part('bn.running_mean'),
    await part('bn.running_var'),
  ];
  const gamma = weights.has(`${name}.${optionalPart}`) ? await part(optionalPart) : undefined;
  const scale = Float64Array.from(variance, (v, i) => (gamma?.[i] ?? 1) / Math.sqrt(v + BATCH_NORM_EPSILON));
  const bias = Float32Array.from(scale, (s, i) => (beta[i] as number) - (mean[i] as number) * s);
  return {
    weight: float32(weight.shape, scaledRows(weight.data, scale)),
    bias: float32([bias.length], bias),
  };
}

/** `values` [rows, columns] with each row times its number in `scale`. */
function scaledRows(values: Float32Array, scale: Float64Array): Float32Array {
  const scaled = new Float32Array(values.length);
  const columns = values.length / scale.length;
  for (let row = 0, i = 0; row < scale.length; row++) {
    const factor = scale[row] as number;
    for (const end = i + columns; i < end; i++) scaled[i] = (values[i] as number) * factor;
  }
  return scaled;
}

type Feature = Edge & Channels;

class OnnxLayers implements InceptionLayers<Feature> {
  constructor(
    private readonly graph: NetworkGraph,
    private readonly folded: ReadonlyMap<string, Folded>,
  ) {}

  conv(x: Feature, { name, stride, padding: [rows, columns] }: ConvSpec): Feature {
    const { weight, bias } = this.folded.get(name) as Folded;
    const inputs = [
      x,
      this.graph.constant(`${name}.weight`, weight),
      this.graph.constant(`${name}.bias`, bias),
    ];
    const attributes = { strides: ints([stride, stride]), pads: ints([rows, columns, rows, columns]) };
    const convolution = this.graph.node('Conv', name, inputs, attributes);
    return { ...this.graph.node('Relu', `${name}.relu`, [convolution]), channels: bias.data.length };
  }

  maxPoolHalving(x: Feature, name: string): Feature {
    const attributes = { kernel_shape: ints([3, 3]), strides: ints([2, 2]) };
    return { ...this.graph.node('MaxPool', name, [x], attributes), channels: x.channels };
  }

  maxPool(x: Feature, name: string): Feature {
    const attributes = { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) };
    return { ...this.graph.node('MaxPool', name, [x], attributes), channels: x.channels };
  }

  averagePool(x: Feature, name: string): Feature {
    const attributes = { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]), count_include_pad: int(0) };
    return { ...this.graph.node('AveragePool', name, [x], attributes), channels: x.channels };
  }

  concat(parts: readonly Feature[], name: string): Feature {
    const channels = sum(parts.map((part) => part.channels));
    return { ...this.graph.node('Concat', name, parts, { axis: int(1) }), channels };
  }
}
