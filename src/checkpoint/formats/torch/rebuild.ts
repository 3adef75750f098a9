import { quote } from '../../../base/quote.js';
import type { Shape } from '../../../tensor/tensor.js';
import type { StoredType } from '../safetensors.js';
import { type Callable, Global, PickledObject, type PickleEnvironment } from './pickle.js';

/** torch's storage classes. */
const storageTypes = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
} as const satisfies Readonly<Record<string, StoredType>>;

/** A run of elements that tensors look into. */
interface Storage {
  readonly key: string;
  readonly dtype: StoredType;
  /** Of the whole. */
  readonly elements: number;
  /** Where the part begins that is meant. Old files have storages that are views of others. */
  readonly first: number;
}

/** A tensor as torch keeps it: offset and strides count elements of its storage. */
export class StridedTensor {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: Shape,
    readonly strides: Shape,
  ) {}
}

/** The types of storages that a persistent id may name. They are no functions: calling one is an error. */
const types = new Map<Callable, StoredType>();

function storageType(dtype: StoredType): Callable {
  const type: Callable = () => {
    throw new Error('a pickle makes a storage');
  };
  types.set(type, dtype);
  return type;
}

/** Everything that a file of tensors may name. Each only puts together what the pickle has given it. */
const known: ReadonlyMap<string, Callable> = new Map<string, Callable>([
  ...Object.entries(storageTypes).map(([name, dtype]) => [`torch ${name}`, storageType(dtype)] as const),
  ['collections OrderedDict', orderedDict],
  ['torch Size', first],
  ['torch._utils _rebuild_tensor', rebuildTensor],
  ['torch._utils _rebuild_tensor_v2', rebuildTensor],
  ['torch._utils _rebuild_parameter', first],
  ['torch.jit._pickle build_intlist', first],
  ['torch.jit._pickle build_doublelist', first],
  ['torch.jit._pickle build_boollist', first],
  ['torch.jit._pickle build_tensorlist', first],
  ['torch.jit._pickle restore_type_tag', first],
]);

/** What torch's pickles mean. `storages` collects what they refer to. */
export class TorchEnvironment implements PickleEnvironment {
  readonly storages = new Map<string, Storage>();

  global(module: string, name: string): Callable {
    // Modules of a TorchScript archive: attributes without code.
    if (module === '__torch__' || module.startsWith('__torch__.')) return () => new PickledObject();
    const callable = known.get(`${module} ${name}`);
    if (callable !== undefined) return callable;
    throw new Error(
      `holds ${quote(`${module}.${name}`)}, which is refused: a state dict has tensors only (torch.save(model.state_dict(), file) writes one)`,
    );
  }

  persistent(id: unknown): Storage {
    const [kind, type, key, , elements, view] = Array.isArray(id) ? id : [];
    const dtype = type instanceof Global ? types.get(type.call) : undefined;
    if (kind !== 'storage' || dtype === undefined || typeof key !== 'string' || !isCount(elements)) {
      throw new Error('refers to data in a way that no known version of torch does');
    }
    const storage = { key, dtype, elements, first: 0 };
    const earlier = this.storages.get(key);
    if (earlier && (earlier.dtype !== dtype || earlier.elements !== elements)) {
      throw new Error(`describes storage ${quote(key)} in two ways`);
    }
    this.storages.set(key, storage);
    return view == null ? storage : viewOf(storage, view);
  }
}

/** Files before torch 0.4 give views of storages as (key, offset, size). */
function viewOf(storage: Storage, view: unknown): Storage {
  const [, offset, size] = Array.isArray(view) ? view : [];
  if (!isCount(offset) || !isCount(size) || offset + size > storage.elements) {
    throw new Error(`has a view outside storage ${quote(storage.key)}`);
  }
  return { ...storage, first: offset };
}

/**
 * Lists that dictionaries were made of. Taking one again and again would make far more entries than the
 * pickle is long.
 */
const taken = new WeakSet<readonly unknown[]>();

/** Empty, or of a list of pairs. */
function orderedDict([pairs = []]: readonly unknown[]): Map<unknown, unknown> {
  if (!Array.isArray(pairs) || !pairs.every(Array.isArray)) throw new Error('has an OrderedDict of no pairs');
  if (taken.has(pairs)) throw new Error('makes an OrderedDict of the same pairs twice');
  if (pairs.length > 0) taken.add(pairs);
  return new Map(pairs.map(([key, value]) => [key, value]));
}

function first([value]: readonly unknown[]): unknown {
  return value;
}

/** (storage, offset, size, stride, ...) of `_rebuild_tensor` and `_rebuild_tensor_v2`. */
function rebuildTensor([storage, offset, shape, strides]: readonly unknown[]): StridedTensor {
  if (
    !isStorage(storage) ||
    !isCount(offset) ||
    !isCounts(shape) ||
    !isCounts(strides) ||
    shape.length !== strides.length
  ) {
    throw new Error('has a tensor that is not described by a storage, an offset, sizes and strides');
  }
  const tensor = new StridedTensor(storage, storage.first + offset, [...shape], [...strides]);
  checkInside(tensor);
  return tensor;
}

/**
 * No tensor may have more elements than its storage, so that reading one never needs more memory than the
 * file is long.
 */
function checkInside({ storage, offset, shape, strides }: StridedTensor): void {
  const elements = shape.reduce((product, dim) => product * dim, 1);
  const last = shape.reduce((sum, dim, axis) => sum + (dim - 1) * (strides[axis] as number), offset);
  if (elements > 0 && (last >= storage.elements || elements > storage.elements)) {
    throw new Error(
      `has a tensor of shape ${quote(shape)} in a storage of ${storage.elements} elements, where it does not fit`,
    );
  }
}

function isStorage(value: unknown): value is Storage {
  return typeof value === 'object' && value !== null && 'dtype' in value && 'elements' in value;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Dimensions beyond 64 are torch's own limit. */
function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= 64 && value.every(isCount);
}
