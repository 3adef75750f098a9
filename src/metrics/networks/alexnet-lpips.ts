import { int, ints } from '../../graph/value.js';
import { float32, int64, type Shape, type Tensor } from '../../tensor/tensor.js';
import type { NetworkWeights } from './network-weights.js';
import { type Edge, NetworkGraph, type NetworkOptions, OnnxNetwork } from './onnx-network.js';
import type { LpipsNetwork } from './types.js';

interface Layer {
  /** torchvision's number of the convolution. */
  readonly index: number;
  readonly weight: Shape;
  readonly stride: number;
  readonly padding: number;
  /** Whether a pooling layer comes before. */
  readonly pool: boolean;
}

const layers: readonly Layer[] = [
  { index: 0, weight: [64, 3, 11, 11], stride: 4, padding: 2, pool: false },
  { index: 3, weight: [192, 64, 5, 5], stride: 1, padding: 2, pool: true },
  { index: 6, weight: [384, 192, 3, 3], stride: 1, padding: 1, pool: true },
  { index: 8, weight: [256, 384, 3, 3], stride: 1, padding: 1, pool: false },
  { index: 10, weight: [256, 256, 3, 3], stride: 1, padding: 1, pool: false },
];

const channelsOf = ({ weight }: Layer) => weight[0] as number;

/** torchvision's names of AlexNet's convolutions and their shapes. */
export const alexNetShapes: ReadonlyMap<string, Shape> = new Map(
  layers.flatMap((layer): [string, Shape][] => [
    [`features.${layer.index}.weight`, layer.weight],
    [`features.${layer.index}.bias`, [channelsOf(layer)]],
  ]),
);

const headName = (tap: number) => `lin${tap}.model.1.weight`;

/** The names that the `lpips` package gives to the weights of the channels. */
export const lpipsHeadShapes: ReadonlyMap<string, Shape> = new Map(
  layers.map((layer, tap) => [headName(tap), [1, channelsOf(layer), 1, 1]]),
);

/** The smallest side that leaves something after both pooling layers. */
const LEAST_SIDE = 31;

/**
 * LPIPS on AlexNet: torchmetrics' `learned_perceptual_image_patch_similarity` with `net_type='alex',
 * normalize=True`, for images of any size from 31x31 on.
 */
export async function createLpips(
  alexNet: NetworkWeights,
  heads: NetworkWeights,
  options: NetworkOptions,
): Promise<LpipsNetwork> {
  const network = await OnnxNetwork.create(await buildModel(alexNet, heads), options);
  return {
    distance: async (a, b, height, width) => {
      if (height < LEAST_SIDE || width < LEAST_SIDE) {
        throw new RangeError(`${width}x${height} is too small, both sides must be ${LEAST_SIDE} or more`);
      }
      const pair = new Float32Array(a.length + b.length);
      pair.set(a);
      pair.set(b, a.length);
      const [distance] = await network.run(pair, [2, 3, height, width]);
      return distance as number;
    },
    release: () => network.release(),
  };
}

async function buildModel(alexNet: NetworkWeights, heads: NetworkWeights): Promise<Uint8Array> {
  const graph = new NetworkGraph();
  let x = normalized(graph, { name: 'pair' });
  let total: Edge | undefined;
  for (const [tap, layer] of layers.entries()) {
    const weight = await alexNet.read(`features.${layer.index}.weight`);
    const bias = await alexNet.read(`features.${layer.index}.bias`);
    x = activations(graph, x, layer, weight, bias);
    const difference = layerDifference(graph, x, tap, await heads.read(headName(tap)));
    total = total ? graph.node('Add', `total${tap}`, [total, difference]) : difference;
  }
  return graph.compile('pair', 4, total as Edge);
}

/** From [0, 1] to what AlexNet was trained on: 2x - 1, then the package's shift and scale of each channel. */
function normalized(graph: NetworkGraph, x: Edge): Edge {
  const perChannel = (name: string, values: readonly number[]) =>
    graph.constant(name, float32([1, 3, 1, 1], Float32Array.from(values)));
  const doubled = graph.node('Mul', 'doubled', [x, graph.scalar('two', 2)]);
  const signed = graph.node('Sub', 'signed', [doubled, graph.scalar('one', 1)]);
  const shifted = graph.node('Sub', 'shifted', [signed, perChannel('shift', [-0.03, -0.088, -0.188])]);
  return graph.node('Div', 'scaled', [shifted, perChannel('scale', [0.458, 0.448, 0.45])]);
}

function activations(graph: NetworkGraph, x: Edge, layer: Layer, weight: Tensor, bias: Tensor): Edge {
  const name = `features.${layer.index}`;
  const pooling = { kernel_shape: ints([3, 3]), strides: ints([2, 2]) };
  const input = layer.pool ? graph.node('MaxPool', `${name}/pool`, [x], pooling) : x;
  const convolution = graph.node(
    'Conv',
    name,
    [input, graph.constant(`${name}.weight`, weight), graph.constant(`${name}.bias`, bias)],
    {
      strides: ints([layer.stride, layer.stride]),
      pads: ints(Array<number>(4).fill(layer.padding)),
    },
  );
  return graph.node('Relu', `${name}/relu`, [convolution]);
}

/**
 * Both images' activations over their length at each position; their squared difference, weighted by channel,
 * as the mean over positions.
 */
function layerDifference(graph: NetworkGraph, x: Edge, tap: number, head: Tensor): Edge {
  const name = `lin${tap}`;
  const channels = graph.constant(`${name}/axis`, int64([1], BigInt64Array.of(1n)));
  const squares = graph.node('ReduceSumSquare', `${name}/squares`, [x, channels], { keepdims: int(1) });
  const padded = graph.node('Add', `${name}/padded`, [squares, graph.scalar(`${name}/epsilon`, 1e-8)]);
  const unit = graph.node('Div', `${name}/unit`, [x, graph.node('Sqrt', `${name}/length`, [padded])]);
  const halves = graph.nodesOf('Split', `${name}/halves`, [unit], [`${name}/a`, `${name}/b`], {
    axis: int(0),
    num_outputs: int(2),
  });
  const difference = graph.node('Sub', `${name}/difference`, halves);
  const squared = graph.node('Mul', `${name}/squared`, [difference, difference]);
  const weighted = graph.node('Conv', `${name}/weighted`, [squared, graph.constant(`${name}/weight`, head)]);
  return graph.node('ReduceMean', `${name}/mean`, [weighted], { keepdims: int(0) });
}
