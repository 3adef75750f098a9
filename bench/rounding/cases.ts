import { Graph, type GraphPart } from '../../src/graph/graph.js';
import { type Activation, Kernels } from '../../src/graph/kernels/kernels.js';
import type { Value } from '../../src/graph/value.js';
import { TorchGenerator } from '../../src/tensor/random-torch.js';
import { float32, type Shape, type Tensor } from '../../src/tensor/tensor.js';

/** An operator of a size that models have, on random operands. */
export interface Case {
  readonly name: string;
  readonly part: GraphPart;
  readonly inputs: Readonly<Record<string, Tensor<'float32'>>>;
}

/** Makes the operands of one case. */
class Operands {
  readonly kernels = new Kernels(new Graph());
  readonly inputs: Record<string, Tensor<'float32'>> = {};
  readonly #generator = new TorchGenerator(0n);

  /** An activation: normally distributed. */
  input(shape: Shape, { mean = 0, deviation = 1 } = {}): Value {
    const name = `input_${Object.keys(this.inputs).length}`;
    this.inputs[name] = this.#random(shape, mean, deviation);
    return this.kernels.graph.input(name, 'float32', shape, 'step');
  }

  /** Weights of a layer that keeps the deviation of what it sees; of norms about 1. */
  weight(shape: Shape, { mean = 0, deviation = 1 } = {}): Value {
    const { graph } = this.kernels;
    return graph.constant(`weight_${graph.weights.length}`, this.#random(shape, mean, deviation));
  }

  #random(shape: Shape, mean: number, deviation: number): Tensor<'float32'> {
    return float32(
      shape,
      this.#generator.randn(shape).data.map((value) => mean + deviation * value),
    );
  }
}

type Build = (operands: Operands) => Value;

interface ConvolutionSize {
  readonly inner: number;
  readonly features: number;
  readonly size: number;
  readonly kernel?: number;
  readonly stride?: number;
  readonly double?: boolean;
}

function convolution({
  inner,
  features,
  size,
  kernel = 3,
  stride = 1,
  double = false,
}: ConvolutionSize): Build {
  return (operands) => {
    const x = operands.input([1, inner, size, size]);
    const deviation = 1 / Math.sqrt(inner * kernel * kernel);
    const weight = operands.weight([features, inner, kernel, kernel], { deviation });
    const bias = operands.weight([features], { deviation });
    const image = double ? operands.kernels.double('doubled', x) : x;
    const border = (kernel - 1) / 2;
    return operands.kernels.conv2d('y', image, weight, bias, {
      stride,
      padding: [border, border, border, border],
    });
  };
}

function linear(inner: number, features: number, geglu = false): Build {
  return (operands) => {
    const x = operands.input([1, 64, inner]);
    const deviation = 1 / Math.sqrt(inner);
    const weight = operands.weight([features, inner], { deviation });
    const bias = operands.weight([features], { deviation });
    return operands.kernels[geglu ? 'linearGeglu' : 'linear']('y', x, weight, bias);
  };
}

function attention(tokens: number, others: number, size: number, causal = false): Build {
  return (operands) => {
    const query = operands.input([1, tokens, 2 * size]);
    const [key, value] = [0, 1].map(() => operands.input([1, others, 2 * size])) as [Value, Value];
    return operands.kernels.attention('y', query, key, value, { heads: 2, causal });
  };
}

function biasedAttention(operands: Operands): Value {
  const shape = [1, 77, 128];
  const [query, key, value] = [0, 1, 2].map(() => operands.input(shape)) as [Value, Value, Value];
  return operands.kernels.biasedAttention('y', query, key, value, operands.input([1, 2, 77, 77]), {
    heads: 2,
  });
}

function groupNorm(mean: number, activation: 'none' | 'silu'): Build {
  return (operands) => {
    const x = operands.input([1, 320, 32, 32], { mean });
    const scale = operands.weight([320], { mean: 1, deviation: 0.2 });
    const shift = operands.weight([320], { deviation: 0.2 });
    return operands.kernels.groupNorm('y', x, scale, shift, { groups: 32, epsilon: 1e-5, activation });
  };
}

function layerNorm(mean: number): Build {
  return (operands) => {
    const x = operands.input([1, 256, 640], { mean });
    const scale = operands.weight([640], { mean: 1, deviation: 0.2 });
    return operands.kernels.layerNorm('y', x, scale, operands.weight([640], { deviation: 0.2 }), 1e-5);
  };
}

function rmsNorm(operands: Operands): Value {
  const x = operands.input([1, 256, 640]);
  return operands.kernels.rmsNorm('y', x, operands.weight([640], { mean: 1, deviation: 0.2 }), 1e-6);
}

function activation(kind: Activation): Build {
  return (operands) =>
    operands.kernels.activation('y', operands.input([1, 256, 640], { deviation: 3 }), kind);
}

const builds: Readonly<Record<string, Build>> = {
  '3x3 convolution, 32 to 32 channels': convolution({ inner: 32, features: 32, size: 32 }),
  '3x3 convolution, 320 to 320 channels': convolution({ inner: 320, features: 320, size: 16 }),
  '3x3 convolution, 1280 to 64 channels': convolution({ inner: 1280, features: 64, size: 16 }),
  '3x3 convolution, stride 2, 320 to 320 channels': convolution({
    inner: 320,
    features: 320,
    size: 32,
    stride: 2,
  }),
  '3x3 convolution of a doubled image, 320 to 64 channels': convolution({
    inner: 320,
    features: 64,
    size: 16,
    double: true,
  }),
  '1x1 convolution, 960 to 320 channels': convolution({ inner: 960, features: 320, size: 16, kernel: 1 }),
  'linear, 64 to 64 features': linear(64, 64),
  'linear, 1280 to 320 features': linear(1280, 320),
  'linear, 5120 to 320 features': linear(5120, 320),
  'linear with GEGLU, 640 to 640 features': linear(640, 1280, true),
  'attention, 1024 tokens, heads of 64': attention(256, 1024, 64),
  'attention, 77 tokens, heads of 40': attention(256, 77, 40),
  'attention, 256 tokens, heads of 512': attention(256, 256, 512),
  'causal attention, 77 tokens, heads of 64': attention(77, 77, 64, true),
  'attention with a bias, 77 tokens, heads of 64': biasedAttention,
  'group norm': groupNorm(0, 'none'),
  'group norm and SiLU': groupNorm(0, 'silu'),
  'group norm, mean 30 deviations': groupNorm(30, 'none'),
  'layer norm': layerNorm(0),
  'layer norm, mean 30 deviations': layerNorm(30),
  'RMS norm': rmsNorm,
  SiLU: activation('silu'),
  GELU: activation('gelu'),
  'GELU by tanh': activation('gelu_tanh'),
  'quick GELU': activation('quick_gelu'),
  sine: (operands) => operands.kernels.sine('y', operands.input([256, 320], { deviation: 300 })),
  cosine: (operands) => operands.kernels.cosine('y', operands.input([256, 320], { deviation: 300 })),
};

/** Each operator alone. */
export function operatorCases(): readonly Case[] {
  return Object.entries(builds).map(([name, build]) => {
    const operands = new Operands();
    const { graph } = operands.kernels;
    graph.output(build(operands));
    return { name, part: graph.program().step, inputs: operands.inputs };
  });
}
