import { type Activation, type AttentionShape, Kernels } from '../../src/graph/kernels/kernels.js';
import type { NormSpec } from '../../src/graph/kernels/norm.js';
import { float, int, type Value } from '../../src/graph/value.js';
import { elementCount, float32, type Shape } from '../../src/tensor/tensor.js';

/**
 * The same model in standard ONNX operators only, the way torch's exporter writes it: what any ONNX Runtime
 * can run, and what distri's own operators are measured against.
 */
export class StandardKernels extends Kernels {
  override groupNorm(name: string, x: Value, weight: Value, bias: Value, spec: NormSpec): Value {
    const [batch, channels, rows, columns] = x.shape as [number, number, number, number];
    const { groups, epsilon, activation } = spec;
    const size = (channels / groups) * rows * columns;
    const grouped = this.reshape(`${name}/groups`, x, [batch, groups, size]);
    const ones = this.graph.constant(`${name}/ones`, float32([groups], new Float32Array(groups).fill(1)));
    const zeros = this.graph.constant(`${name}/zeros`, float32([groups]));
    const normed = this.graph.node(
      {
        op: 'InstanceNormalization',
        name: `${name}/normed`,
        inputs: [grouped, ones, zeros],
        attributes: { epsilon: float(epsilon) },
      },
      grouped.shape,
    );
    const image = this.reshape(`${name}/image`, normed, x.shape);
    const scaled = this.multiply(`${name}/scaled`, image, this.#perChannel(`${name}/weight`, weight));
    const shifted = this.#perChannel(`${name}/bias`, bias);
    if (activation === 'none') return this.add(name, scaled, shifted);
    return this.activation(name, this.add(`${name}/shifted`, scaled, shifted), activation);
  }

  override attention(name: string, query: Value, key: Value, value: Value, shape: AttentionShape): Value {
    const { heads, causal } = shape;
    if (causal) throw new Error('standard attention is only written for models without a mask');
    const [batch, tokens, inner] = query.shape as [number, number, number];
    const others = key.shape[1] as number;
    const width = inner / heads;
    const split = (part: string, x: Value, order: readonly number[]) =>
      this.transpose(
        `${name}/${part}`,
        this.reshape(`${name}/${part}/heads`, x, [batch, x.shape[1] as number, heads, width]),
        order,
      );
    const product = (part: string, a: Value, b: Value, result: Shape) =>
      this.graph.node({ op: 'MatMul', name: `${name}/${part}`, inputs: [a, b] }, result);
    const scores = product('scores', split('query', query, [0, 2, 1, 3]), split('key', key, [0, 2, 3, 1]), [
      batch,
      heads,
      tokens,
      others,
    ]);
    const scale = this.graph.constant(`${name}/scale`, float32([1], Float32Array.of(1 / Math.sqrt(width))));
    const scaled = this.multiply(`${name}/scaled`, scores, scale);
    const weights = this.graph.node(
      { op: 'Softmax', name: `${name}/weights`, inputs: [scaled], attributes: { axis: int(-1) } },
      scaled.shape,
    );
    const mixed = product('mixed', weights, split('value', value, [0, 2, 1, 3]), [
      batch,
      heads,
      tokens,
      width,
    ]);
    return this.reshape(name, this.transpose(`${name}/tokens`, mixed, [0, 2, 1, 3]), [batch, tokens, inner]);
  }

  override linear(name: string, x: Value, weight: Value, bias: Value | undefined): Value {
    const outer = x.shape.slice(0, -1);
    const [out, inner] = weight.shape as [number, number];
    const tokens = elementCount(outer);
    const rows = this.reshape(`${name}/rows`, x, [tokens, inner]);
    const inputs = bias ? [rows, weight, bias] : [rows, weight];
    const result = this.graph.node(
      { op: 'Gemm', name: `${name}/gemm`, inputs, attributes: { transB: int(1) } },
      [tokens, out],
    );
    return this.reshape(name, result, [...outer, out]);
  }

  override linearGeglu(name: string, tokens: Value, weight: Value, bias: Value | undefined): Value {
    const x = this.linear(`${name}/both`, tokens, weight, bias);
    const axis = x.shape.length - 1;
    const width = x.shape[axis] as number;
    const value = this.slice(`${name}/value`, x, axis, 0, width / 2);
    const gate = this.slice(`${name}/gate`, x, axis, width / 2, width);
    return this.multiply(name, value, this.activation(`${name}/gelu`, gate, 'gelu'));
  }

  override activation(name: string, x: Value, kind: Activation): Value {
    if (kind !== 'silu') return super.activation(name, x, kind);
    const gate = this.graph.node({ op: 'Sigmoid', name: `${name}/sigmoid`, inputs: [x] }, x.shape);
    return this.multiply(name, x, gate);
  }

  #perChannel(name: string, vector: Value): Value {
    return this.reshape(name, vector, [vector.shape[0] as number, 1, 1]);
  }
}
