import { join } from 'node:path';
import { DistriError } from '../base/errors.js';
import { nearNames } from '../base/near-names.js';
import { abbreviate, listNames, quote } from '../base/quote.js';
import type { Shape } from '../tensor/tensor.js';
import { type ConversionOptions, convertFloats, nonFiniteTensors } from './conversion.js';
import { SafetensorsFile, type StoredType, type TensorEntry } from './formats/safetensors.js';
import { findWeightFiles, type WeightFiles } from './weight-files.js';

/** One component's weights, by the names diffusers and transformers give them. */
export interface WeightSource {
  /**
   * The tensor `name`, which must have this shape; what is missing or different is a `checkpoint` error. A
   * linear layer may be stored as a 1x1 convolution.
   */
  get(name: string, shape: Shape): TensorEntry;
  /** Whether there is a tensor of this name, of whatever shape. */
  has(name: string): boolean;
  /** Of all tensors, in no order that means anything. */
  names(): Iterable<string>;
  /** All tensors. */
  readonly entries: Iterable<TensorEntry>;
  /** Of all tensors together. */
  readonly bytes: number;
}

/** Which weights are opened, and in which types they are wanted. */
export interface WeightOptions extends ConversionOptions {
  /**
   * `fp16` of `diffusion_pytorch_model.fp16.safetensors`; '' demands files without one, undefined leaves the
   * choice.
   */
  readonly variant?: string | undefined;
}

/**
 * Opens the weights in the folder `component` of a checkpoint: one .safetensors file or an index and its
 * shards, in the wanted types as they are, in other floating-point types through the conversion cache.
 */
export async function loadWeights(
  checkpointDir: string,
  component: string,
  options: WeightOptions = {},
): Promise<WeightSource> {
  const files = await findWeightFiles(join(checkpointDir, component), options.variant);
  const originals = await Promise.all(files.paths.map((path) => SafetensorsFile.open(path)));
  checkIndex(files, originals);
  const converted = await convertFloats(originals, options);
  const nonFinite = new Set(converted.flatMap(nonFiniteTensors));
  return new FileWeights(files.source, collect(files, converted), nonFinite, options.types ?? ['F32']);
}

/** Every tensor of an index must be in the shard that the index says. */
function checkIndex({ paths, shardOf, source }: WeightFiles, shards: readonly SafetensorsFile[]): void {
  for (const [tensor, path] of shardOf ?? []) {
    if (!shards[paths.indexOf(path)]?.tensors.has(tensor)) {
      throw new DistriError(
        'checkpoint',
        `${source}: tensor ${quote(tensor)} is not in ${path}, where it is said to be`,
      );
    }
  }
}

function collect(
  { paths, shardOf }: WeightFiles,
  files: readonly SafetensorsFile[],
): Map<string, TensorEntry> {
  const entries = new Map<string, TensorEntry>();
  files.forEach(({ tensors }, i) => {
    for (const [name, entry] of tensors) {
      // A tensor that two shards have is taken from where the index says.
      if (shardOf === undefined || shardOf.get(name) === paths[i]) entries.set(name, entry);
    }
  });
  return entries;
}

class FileWeights implements WeightSource {
  constructor(
    private readonly source: string,
    private readonly byName: ReadonlyMap<string, TensorEntry>,
    /** Where that was seen: models do not ask for all tensors, so not every one matters. */
    private readonly nonFinite: ReadonlySet<string>,
    private readonly types: readonly StoredType[],
  ) {}

  get(name: string, shape: Shape): TensorEntry {
    const entry = this.byName.get(name);
    if (entry === undefined) throw this.error(`has no tensor ${quote(name)}${this.suggestions(name)}`);
    if (!equal(withoutOnes(entry.shape, shape.length), shape)) {
      throw this.error(
        `tensor ${quote(name)} has shape ${format(entry.shape)}, but the model needs ${format(shape)}`,
      );
    }
    if (!this.types.includes(entry.dtype)) {
      throw this.error(
        `tensor ${quote(name)} has type ${entry.dtype}, but weights are F32, F16, BF16 or F64`,
      );
    }
    if (this.nonFinite.has(name))
      throw this.error(`tensor ${quote(name)} has numbers that are NaN or infinite`);
    return equal(entry.shape, shape) ? entry : { ...entry, shape };
  }

  has(name: string): boolean {
    return this.byName.has(name);
  }

  names(): Iterable<string> {
    return this.byName.keys();
  }

  get entries(): Iterable<TensorEntry> {
    return this.byName.values();
  }

  get bytes(): number {
    return weightBytes(this.byName.values());
  }

  private error(problem: string): DistriError {
    return new DistriError('checkpoint', `${this.source}: ${problem}`);
  }

  private suggestions(name: string): string {
    const near = nearNames(name, this.byName.keys());
    return near.length === 0 ? '' : `; near names: ${listNames(near)}`;
  }
}

/** Bytes of all entries together. */
export function weightBytes(entries: Iterable<TensorEntry>): number {
  let total = 0;
  for (const { length } of entries) total += length;
  return total;
}

/** Without the dimensions of 1 at the end that exceed `rank`. */
function withoutOnes(shape: Shape, rank: number): Shape {
  return shape.slice(rank).every((dim) => dim === 1) ? shape.slice(0, rank) : shape;
}

function equal(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

function format(shape: Shape): string {
  return abbreviate(`[${shape.join(', ')}]`);
}
