import type { Kernels } from '../../graph/kernels/kernels.js';
import type { Value } from '../../graph/value.js';
import type { CommonLayers } from './common.js';
import type { JointAttentionSpec, JointStream } from './tokens.js';

/** What joint attention is made of: layers whose parts ranks may share out. */
export type JointLayers = Pick<CommonLayers, 'linear' | 'parameter' | 'activation'> & {
  readonly kernels: Kernels;
};

/** What queries make of keys and values: the part that knows what tokens other ranks have. */
export type MixJoint = (
  name: string,
  query: Value,
  key: Value,
  value: Value,
  spec: JointAttentionSpec,
) => Value;

/** As diffusers' FluxAttention with a text's projections of its own, or without. */
export function jointAttention(
  layers: JointLayers,
  mix: MixJoint,
  streams: readonly (JointStream & { readonly out: string })[],
  name: string,
  spec: JointAttentionSpec,
): readonly Value[] {
  const { features } = spec;
  const mixed = mixStreams(layers, mix, streams, name, spec);
  let start = 0;
  return streams.map(({ tokens, out }, index) => {
    const end = start + (tokens.shape[1] as number);
    const own = layers.kernels.slice(`${name}.attention/${index}`, mixed, 1, start, end);
    start = end;
    return layers.linear(own, out, { inFeatures: features, outFeatures: features, bias: true });
  });
}

/** As diffusers' FluxSingleTransformerBlock, without its norm and gate. */
export function attentionBesideFeedForward(
  layers: JointLayers,
  mix: MixJoint,
  stream: JointStream,
  name: string,
  spec: JointAttentionSpec & { readonly innerFeatures: number },
): Value {
  const { features, innerFeatures } = spec;
  const wide = layers.linear(stream.tokens, `${name}.proj_mlp`, {
    inFeatures: features,
    outFeatures: innerFeatures,
    bias: true,
  });
  const active = layers.activation(wide, `${name}.act_mlp`, 'gelu_tanh');
  const mixed = mixStreams(layers, mix, [stream], `${name}.attn`, spec);
  const both = layers.kernels.concat(`${name}/both`, [mixed, active], 2);
  return layers.linear(both, `${name}.proj_out`, {
    inFeatures: features + innerFeatures,
    outFeatures: features,
    bias: true,
  });
}

/** What attention makes of the tokens of all streams, one stream after the other. */
export function mixStreams(
  layers: JointLayers,
  mix: MixJoint,
  streams: readonly JointStream[],
  name: string,
  spec: JointAttentionSpec,
): Value {
  const { features, cosines, sines } = spec;
  const { kernels } = layers;
  const project = (tokens: Value, path: string) =>
    layers.linear(tokens, path, { inFeatures: features, outFeatures: features, bias: true });
  const joined = (part: string, values: readonly Value[]) =>
    values.length === 1 ? (values[0] as Value) : kernels.concat(`${name}.${part}`, values, 1);
  const rotated = (part: 'query' | 'key') => {
    const normed = streams.map((stream) => {
      const projected = project(stream.tokens, stream[part]);
      return normHeads(layers, projected, stream[`${part}Norm`], spec);
    });
    return kernels.rotary(`${name}.${part}_rotated`, joined(`${part}_joined`, normed), cosines, sines);
  };
  const query = rotated('query');
  const key = rotated('key');
  const value = joined(
    'value_joined',
    streams.map((stream) => project(stream.tokens, stream.value)),
  );
  return mix(`${name}.attention`, query, key, value, spec);
}

/** Divides each head's features by the root of their mean square. */
function normHeads(
  layers: JointLayers,
  x: Value,
  name: string,
  { heads, features, epsilon }: JointAttentionSpec,
): Value {
  const { kernels } = layers;
  const [batch, tokens, width] = x.shape as [number, number, number];
  const size = features / heads;
  const byHead = kernels.reshape(`${name}/heads`, x, [batch, tokens, width / size, size]);
  const normed = kernels.rmsNorm(name, byHead, layers.parameter(`${name}.weight`, [size]), epsilon);
  return kernels.reshape(`${name}/tokens`, normed, x.shape);
}
