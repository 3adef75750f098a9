import type { TensorEntry } from '../../checkpoint/formats/safetensors.js';
import type { TensorSlice } from '../../checkpoint/formats/slices.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { GraphPart, Initializer } from '../graph.js';
import { type Attribute, type Operation, storedElementTypes, type Value } from '../value.js';
import { attributeType, elementType, encodeModel, externalLocation } from './schema.js';

const opsets = [
  { domain: '', version: 20 },
  { domain: 'com.microsoft', version: 1 },
  { domain: 'distri', version: 1 },
];

/**
 * A part of a program as a serialized ONNX model: every value is described, weights point to their place in
 * their files. `operations` may differ from the part's own where a pass has rewritten them.
 */
export function serializePart(
  part: GraphPart,
  operations: readonly Operation[] = part.operations,
): Uint8Array {
  const { name, inputs, outputs, initializers, openDims } = part;
  const visible = new Set(outputs.map((value) => value.name));
  const inner = operations
    .flatMap((operation) => operation.outputs)
    .filter((value) => !visible.has(value.name));
  const describe = (value: Value) => valueInfo(value, openDims.get(value.name) ?? value.shape);
  const graph = {
    name,
    node: operations.map(nodeProto),
    initializer: [...initializers].map(([key, { content }]) => initializerProto(key, content)),
    input: inputs.map(describe),
    output: outputs.map(describe),
    valueInfo: inner.map(describe),
  };
  return encodeModel({ irVersion: 9, producerName: 'distri', graph, opsetImport: opsets });
}

function initializerProto(name: string, content: Initializer): Record<string, unknown> {
  switch (content.kind) {
    case 'constant':
      return inlineTensor(name, content.tensor);
    case 'weight':
      return externalTensor(content.entry);
    case 'slice':
      return externalTensor(firstPiece(content.slice));
  }
}

/** A slice is read into memory and replaces its initializer, which has to point somewhere all the same. */
function firstPiece(slice: TensorSlice): TensorEntry {
  const { offset, length } = slice.pieces[0] as TensorSlice['pieces'][number];
  return { ...slice, offset, length };
}

function nodeProto({ spec, outputs }: Operation): Record<string, unknown> {
  return {
    opType: spec.op,
    domain: spec.domain ?? '',
    name: spec.name,
    input: spec.inputs.map((value) => value?.name ?? ''),
    output: outputs.map((value) => value.name),
    attribute: Object.entries(spec.attributes ?? {}).map(([name, attribute]) =>
      attributeProto(name, attribute),
    ),
  };
}

export function attributeProto(name: string, { type, value }: Attribute): Record<string, unknown> {
  const proto = { name, type: attributeType[type] };
  switch (type) {
    case 'int':
      return { ...proto, i: value };
    case 'float':
      return { ...proto, f: value };
    case 'string':
      return { ...proto, s: Buffer.from(value) };
    case 'ints':
      return { ...proto, ints: value };
  }
}

function valueInfo({ name, dtype }: Value, dims: readonly (number | string)[]): Record<string, unknown> {
  const dim = dims.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: elementType[dtype], shape: { dim } } } };
}

/** A tensor inside the model. */
export function inlineTensor(name: string, { dtype, shape, data }: Tensor): Record<string, unknown> {
  const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, dims: shape, dataType: elementType[dtype], rawData };
}

/**
 * ONNX Runtime resolves locations below the folder given to the session, which is `/`; it refuses absolute
 * ones.
 */
function externalTensor({ name, dtype, shape, file, offset, length }: TensorEntry): Record<string, unknown> {
  const type = storedElementTypes[dtype];
  if (type === undefined) throw new Error(`${name}: ONNX Runtime is given no ${dtype}`);
  return {
    name,
    dims: shape,
    dataType: elementType[type],
    dataLocation: externalLocation,
    externalData: [
      { key: 'location', value: file.replace(/^\//, '') },
      { key: 'offset', value: String(offset) },
      { key: 'length', value: String(length) },
    ],
  };
}
