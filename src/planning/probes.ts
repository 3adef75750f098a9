import { mean } from '../base/numbers.js';
import type { Device } from '../engine/device.js';
import { Graph, type GraphPart } from '../graph/graph.js';
import type { Kernels } from '../graph/kernels/kernels.js';
import type { ComputeKind } from '../graph/operators.js';
import { operationCost } from '../graph/passes/cost.js';
import type { Value } from '../graph/value.js';
import { elementCount, float32, type Shape } from '../tensor/tensor.js';

/** A small graph whose operations are alike, to measure how long one of them takes. */
export interface Probe {
  readonly kind: ComputeKind;
  /** What an operation's time is a function of: its multiply-accumulates or, for `other`, its bytes. */
  readonly work: number;
  /** Operations in the graph. */
  readonly operations: number;
  readonly input: Shape;
  readonly part: GraphPart;
}

export const PROBE_INPUT = 'x';

type ProbedDevice = Pick<Device, 'kernels' | 'elementType'>;

/** Images of a UNet get more channels as they get smaller: `[channels, side]`. */
const convolutions = [
  [64, 8],
  [64, 16],
  [128, 16],
  [128, 32],
] as const;

/** `[tokens, in, out]`. */
const linears = [
  [64, 64, 64],
  [64, 256, 256],
  [256, 256, 256],
  [256, 512, 512],
  [256, 512, 2048],
] as const;

/** `[tokens, features]`, 64 features a head. */
const attentions = [
  [64, 64],
  [256, 128],
  [512, 128],
  [1024, 128],
] as const;

/** `[channels, side]`; the first is so small that it takes what starting an operation takes. */
const elementwise = [
  [32, 2],
  [64, 16],
  [128, 32],
  [320, 64],
  [320, 96],
] as const;

/** Everything that is measured, from small to large within each kind. */
export function allProbes(device: ProbedDevice): Probe[] {
  return [
    ...convolutions.map(([channels, side]) => convolutionProbe(device, channels, side)),
    ...linears.map(([tokens, from, to]) => linearProbe(device, tokens, from, to)),
    ...attentions.map(([tokens, features]) => attentionProbe(device, tokens, features)),
    ...elementwise.map(([channels, side]) => elementwiseProbe(device, channels, side)),
  ];
}

/**
 * As between norms, which keep another layout in memory: reshaping takes the convolutions' own layout away.
 */
function convolutionProbe(device: ProbedDevice, channels: number, side: number): Probe {
  return chain(device, 'conv', [1, channels, side, side], (kernels) => {
    const weight = constant(kernels, 'weight', [channels, channels, 3, 3]);
    const bias = constant(kernels, 'bias', [channels]);
    return (x, name) => {
      const [, , rows, columns] = x.shape as [number, number, number, number];
      const other = rows === columns ? [1, channels, rows / 2, 2 * columns] : [1, channels, side, side];
      const reshaped = kernels.reshape(`${name}.reshaped`, x, other);
      return kernels.conv2d(name, reshaped, weight, bias, { stride: 1, padding: [1, 1, 1, 1] });
    };
  });
}

/** To wide and back. */
function linearProbe(device: ProbedDevice, tokens: number, from: number, to: number): Probe {
  return chain(device, 'linear', [1, tokens, from], (kernels) => {
    const wide = constant(kernels, 'wide', [to, from]);
    const narrow = constant(kernels, 'narrow', [from, to]);
    return (x, name) =>
      kernels.linear(
        name,
        kernels.linear(`${name}.wide`, x, wide, constantBias(kernels, `${name}.wide`, to)),
        narrow,
        constantBias(kernels, name, from),
      );
  });
}

function attentionProbe(device: ProbedDevice, tokens: number, features: number): Probe {
  return chain(
    device,
    'attention',
    [1, tokens, features],
    (kernels) => (x, name) => kernels.attention(name, x, x, x, { heads: features / 64, causal: false }),
  );
}

/** What stands between the products: a norm with its activation, a sum, tokens and back, a norm of tokens. */
function elementwiseProbe(device: ProbedDevice, channels: number, side: number): Probe {
  const [image, flat] = [
    [1, channels, side, side],
    [1, channels, side * side],
  ];
  return chain(device, 'other', image, (kernels) => {
    const scale = constant(kernels, 'scale', [channels]);
    const shift = constant(kernels, 'shift', [channels]);
    const norm = { groups: 32, epsilon: 1e-5, activation: 'silu' } as const;
    return (x, name) => {
      const normed = kernels.groupNorm(`${name}.norm`, x, scale, shift, norm);
      const sum = kernels.add(`${name}.sum`, normed, x);
      const tokens = kernels.transpose(
        `${name}.tokens`,
        kernels.reshape(`${name}.flat`, sum, flat),
        [0, 2, 1],
      );
      const layerNormed = kernels.layerNorm(`${name}.layer_norm`, tokens, scale, shift, 1e-5);
      const back = kernels.transpose(`${name}.back`, layerNormed, [0, 2, 1]);
      return kernels.reshape(name, back, image);
    };
  });
}

/**
 * Work of a graph, in multiply-accumulates or bytes: long enough for its start to count little, and so short
 * that on a busy machine some runs are not interrupted.
 */
const CHAIN_WORK: Readonly<Record<ComputeKind, number>> = {
  conv: 2e8,
  linear: 2e8,
  attention: 1e8,
  other: 2e7,
};
const MAX_LINKS = 32;

/** As many links as make the graph long enough, each fed by the one before. */
function chain(
  device: ProbedDevice,
  kind: ComputeKind,
  input: Shape,
  link: (kernels: Kernels) => (x: Value, name: string) => Value,
): Probe {
  const single = build(device, kind, input, 1, link);
  const links = Math.min(MAX_LINKS, Math.ceil(CHAIN_WORK[kind] / (single.work * single.operations)));
  return links === 1 ? single : build(device, kind, input, links, link);
}

function build(
  device: ProbedDevice,
  kind: ComputeKind,
  input: Shape,
  links: number,
  link: (kernels: Kernels) => (x: Value, name: string) => Value,
): Probe {
  const kernels = device.kernels(new Graph(device.elementType));
  const next = link(kernels);
  let x = kernels.graph.input(PROBE_INPUT, 'float32', input, 'step');
  for (let index = 0; index < links; index++) x = next(x, `link${index}`);
  kernels.graph.output(x);
  const costs = kernels.graph.operations.map(operationCost);
  const amounts = costs
    .map(({ macs, bytes }) => (kind === 'other' ? bytes : macs))
    .filter((amount) => amount > 0);
  const work = mean(amounts);
  return { kind, work, operations: amounts.length, input, part: kernels.graph.program().step };
}

/** Small numbers that keep a long chain from overflowing. */
function constant(kernels: Kernels, name: string, shape: Shape): Value {
  const values = new Float32Array(elementCount(shape));
  const scale = 1 / Math.sqrt(elementCount(shape.slice(1)));
  for (let index = 0; index < values.length; index++)
    values[index] = scale * (((index * 7919) % 101) / 50 - 1);
  return kernels.graph.constant(name, float32(shape, values));
}

function constantBias(kernels: Kernels, name: string, length: number): Value {
  return constant(kernels, `${name}.bias`, [length]);
}
