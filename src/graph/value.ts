import type { StoredType } from '../checkpoint/formats/safetensors.js';
import { type ElementType, itemBytes } from '../tensor/element-type.js';
import { elementCount, type Shape } from '../tensor/tensor.js';
import type { Region } from './region.js';

/** How often a value changes: never (weights), once per image (text, sizes), or at every denoising step. */
export type Phase = 'constant' | 'image' | 'step';

/** How elements lie in memory: in the order of the shape, or an image's channels next to each other. */
export type Layout = 'row_major' | 'channels_last';

/** An edge of the graph. Static shape, in order. */
export interface Value {
  readonly name: string;
  readonly dtype: ElementType;
  readonly shape: Shape;
  readonly layout: Layout;
  readonly phase: Phase;
  /** Which part of a larger whole this value is; undefined for what every rank has whole. */
  readonly region: Region | undefined;
}

/** The element types of what is stored in files and can be used where it lies. */
export const storedElementTypes: { readonly [type in StoredType]?: ElementType } = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  U8: 'uint8',
};

/** Bytes of a value's elements. */
export function byteLength({ dtype, shape }: Pick<Value, 'dtype' | 'shape'>): number {
  return itemBytes[dtype] * elementCount(shape);
}

/** An attribute. ONNX tells integers from floats: `int` and `float` below make one of the right kind. */
export type Attribute =
  | { readonly type: 'int'; readonly value: number }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'ints'; readonly value: readonly number[] };

export type Attributes = Readonly<Record<string, Attribute>>;

export const int = (value: number): Attribute => ({ type: 'int', value });
export const float = (value: number): Attribute => ({ type: 'float', value });
export const text = (value: string): Attribute => ({ type: 'string', value });
export const ints = (value: readonly number[]): Attribute => ({ type: 'ints', value });

/** `distri` is native/ops; `com.microsoft` are ONNX Runtime's contributed operators. */
export type Domain = '' | 'com.microsoft' | 'distri';

export interface NodeSpec {
  readonly op: string;
  readonly domain?: Domain;
  /** Unique; by custom the path of the module that it computes, so that errors and profiles name layers. */
  readonly name: string;
  /** `undefined` is an optional input that is left out. */
  readonly inputs: readonly (Value | undefined)[];
  readonly attributes?: Attributes;
}

/** A node as it is in the graph. */
export interface Operation {
  readonly spec: NodeSpec;
  readonly outputs: readonly Value[];
  /** When it is computed: once per image or at every step. */
  readonly phase: Phase;
}

/** Names of the values that an operation reads. */
export function operandNames({ spec }: Operation): string[] {
  return spec.inputs.flatMap((value) => (value ? [value.name] : []));
}

/** The integers of this name, which the operation is known to have. */
export function intsAttribute({ name, attributes }: NodeSpec, key: string): readonly number[] {
  const attribute = attributes?.[key];
  if (attribute?.type !== 'ints') throw new Error(`${name} has no integers ${key}`);
  return attribute.value;
}

/** The number of this name, which the operation is known to have. */
export function floatAttribute({ name, attributes }: NodeSpec, key: string): number {
  const attribute = attributes?.[key];
  if (attribute?.type !== 'float') throw new Error(`${name} has no number ${key}`);
  return attribute.value;
}

/** The integer attribute of this name, which the operation is known to have. */
export function intAttribute({ name, attributes }: NodeSpec, key: string): number {
  const attribute = attributes?.[key];
  if (attribute?.type !== 'int') throw new Error(`${name} has no integer ${key}`);
  return attribute.value;
}
