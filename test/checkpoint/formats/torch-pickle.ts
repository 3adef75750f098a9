import { Buffer } from 'node:buffer';

/** Pieces of pickles, by the names of Python's pickletools. */
export const op = {
  proto: Buffer.from([0x80, 2]),
  stop: Buffer.from('.'),
  mark: Buffer.from('('),
  none: Buffer.from('N'),
  true: Buffer.from([0x88]),
  false: Buffer.from([0x89]),
  emptyDict: Buffer.from('}'),
  emptyTuple: Buffer.from(')'),
  emptyList: Buffer.from(']'),
  tuple: Buffer.from('t'),
  append: Buffer.from('a'),
  setItem: Buffer.from('s'),
  setItems: Buffer.from('u'),
  reduce: Buffer.from('R'),
  build: Buffer.from('b'),
  persistentId: Buffer.from('Q'),
  int: (value: number) => sized('J', 4, (bytes) => bytes.writeInt32LE(value)),
  text: (value: string) =>
    Buffer.concat([
      sized('X', 4, (bytes) => bytes.writeUInt32LE(Buffer.byteLength(value))),
      Buffer.from(value),
    ]),
  global: (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`),
  put: (index: number) => Buffer.from([0x71, index]),
  get: (index: number) => Buffer.from([0x68, index]),
};

function sized(code: string, length: number, fill: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(length);
  fill(bytes);
  return Buffer.concat([Buffer.from(code), bytes]);
}

export interface PickledTensor {
  readonly storage: string;
  readonly elements: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset?: number;
  readonly type?: string;
  /** What files before torch 0.4 have behind a storage. */
  readonly view?: Buffer;
}

/** A tensor as torch's `_rebuild_tensor_v2` gets it. */
export function tensor({
  storage,
  elements,
  shape,
  strides,
  offset = 0,
  type = 'FloatStorage',
  view,
}: PickledTensor): Buffer {
  const id = [
    op.text('storage'),
    op.global('torch', type),
    op.text(storage),
    op.text('cpu'),
    op.int(elements),
  ];
  return Buffer.concat([
    op.global('torch._utils', '_rebuild_tensor_v2'),
    op.mark,
    ...[op.mark, ...id, ...(view ? [view] : []), op.tuple, op.persistentId],
    op.int(offset),
    ...[shape, strides].flatMap((numbers) => [op.mark, ...numbers.map(op.int), op.tuple]),
    op.false,
    ...[op.global('collections', 'OrderedDict'), op.emptyTuple, op.reduce],
    op.tuple,
    op.reduce,
  ]);
}

export function dictionary(entries: readonly (readonly [string, Buffer])[]): Buffer {
  const items = entries.flatMap(([key, value]) => [op.text(key), value]);
  return Buffer.concat([op.emptyDict, op.mark, ...items, op.setItems]);
}

export function pickle(...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([op.proto, ...parts, op.stop]);
}

/** A file in torch's older format with float32 storages. */
export function legacyFile(value: Buffer, storages: Readonly<Record<string, Float32Array>>): Buffer {
  const keys = Object.keys(storages).flatMap((key) => [op.text(key), op.append]);
  const data = Object.values(storages).flatMap((values) => {
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(BigInt(values.length));
    return [count, Buffer.from(values.buffer, values.byteOffset, values.byteLength)];
  });
  return Buffer.concat([
    Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex'),
    pickle(op.int(1001)),
    pickle(dictionary([['little_endian', op.true]])),
    value,
    pickle(op.emptyList, ...keys),
    ...data,
  ]);
}
