import type { GraphPart } from '../../graph/graph.js';
import type { Operation, Value } from '../../graph/value.js';
import { type ElementType, itemBytes } from '../../tensor/element-type.js';
import { elementCount, type Shape } from '../../tensor/tensor.js';
import { columnSums, normedImages } from './column-sums.js';
import { type Command, type CommandName, exactSumBytes, type PackedWeight } from './command.js';
import type { Doubling } from './doubling.js';
import { findJoins, type Place } from './joins.js';
import { activationCodes, type Emit, type Pending, type Placement, placed, placementOf } from './pending.js';
import { countReaders } from './readers.js';
import type { SharedMemory } from './shared-memory.js';
import {
  denseStrides,
  denseView,
  isInnerDense,
  orderOf,
  permuted,
  reshaped,
  type Storage,
  sliced,
  type View,
} from './view.js';

/** Rows and columns around an image that its readers look at: `[top, left, bottom, right]`. */
export type Frame = readonly [number, number, number, number];
export const noFrame: Frame = [0, 0, 0, 0];

/** Order of an image's dimensions in memory. */
export const channelsLast = [0, 2, 3, 1] as const;

export type LoweringOptions = Pick<Lowering, 'elementType' | 'rank' | 'memory' | 'isFirstStep'>;

/** A part of a program on its way to commands: where values are, and what is not computed yet. */
export class Lowering {
  /** What runs at every call. */
  readonly commands: Command[] = [];
  /** What runs when the image's values are new. */
  readonly prepared: Command[] = [];
  /** Of activations. */
  readonly elementType: ElementType;
  /** Who computes. */
  readonly rank: number;
  /** What outlives a call. */
  readonly memory: SharedMemory;
  /** Whether these are the commands of an image's first step, before which nothing of it is kept. */
  readonly isFirstStep: boolean;
  readonly #part: GraphPart;
  readonly #views = new Map<string, View>();
  readonly #pending = new Map<string, Pending>();
  readonly #readers: ReadonlyMap<string, number>;
  /** Images that have every row and column twice. */
  readonly doubling: Doubling;
  readonly #normed: ReadonlySet<string>;
  readonly #columnSums = new Map<string, View>();
  readonly #frames: ReadonlyMap<string, Frame>;
  readonly #joins: ReadonlyMap<string, Place>;
  readonly #framed = new Map<Storage, { readonly image: View; readonly frame: Frame }>();

  constructor(
    part: GraphPart,
    { frames, doubling }: { readonly frames: ReadonlyMap<string, Frame>; readonly doubling: Doubling },
    { elementType, rank, memory, isFirstStep }: LoweringOptions,
  ) {
    this.doubling = doubling;
    this.#part = part;
    this.elementType = elementType;
    this.rank = rank;
    this.memory = memory;
    this.isFirstStep = isFirstStep;
    this.#readers = countReaders(part);
    this.#normed = normedImages(part);
    this.#frames = frames;
    this.#joins = findJoins(part);
  }

  /** Reads what the caller gives: values of the image once, into memory of the program's own. */
  readInputs(): void {
    for (const value of this.#part.inputs) {
      const given = this.memory.view('input', value);
      if (value.phase === 'step' || given.dtype !== 'float32') {
        this.#views.set(value.name, given);
        continue;
      }
      const dtype = value.shape.length > 2 ? this.elementType : given.dtype;
      const kept = this.memory.view('kept', { ...value, dtype });
      this.prepared.push({ op: 'Copy', name: value.name, operands: { x: given, y: kept }, attributes: {} });
      this.#views.set(value.name, kept);
    }
  }

  /** Copies results to where the caller takes them. */
  writeOutputs(): void {
    for (const value of this.#part.outputs) {
      const taken = this.memory.view('output', value);
      this.emit('Copy', value.name, { x: this.view(value), y: taken });
    }
  }

  emit(
    op: CommandName,
    name: string,
    operands: Readonly<Record<string, View | undefined>>,
    attributes: Command['attributes'] = {},
  ): void {
    const given = Object.entries(operands).filter((entry): entry is [string, View] => entry[1] !== undefined);
    this.commands.push({ op, name, operands: Object.fromEntries(given), attributes });
  }

  /** Where a value is; what is pending is computed now. */
  view(value: Value): View {
    const pending = this.#pending.get(value.name);
    if (pending) this.#compute(pending);
    const known = this.#views.get(value.name);
    if (known) return known;
    if (!this.#part.initializers.has(value.name)) throw new Error(`nothing has computed ${value.name}`);
    const weight = this.weight(value, undefined);
    this.#views.set(value.name, weight);
    return weight;
  }

  /** Where a value is, or is going to be, if there is a place for it. */
  placeOf({ name }: Value): View | undefined {
    return this.#views.get(name);
  }

  /** The same, with the elements of the last dimension next to each other, and in this type. */
  dense(value: Value, dtype?: ElementType): View {
    const view = this.view(value);
    const wanted = dtype ?? view.dtype;
    if (isInnerDense(view) && view.dtype === wanted) return view;
    return this.copied(view, value.name, wanted);
  }

  /** A dense copy. */
  copied(view: View, name: string, dtype: ElementType = view.dtype): View {
    const copy = denseView('arena', { name: `${name}/copy`, dtype, shape: view.shape });
    this.emit('Copy', copy.storage.name, { x: view, y: copy });
    return copy;
  }

  /** A value is this view from here on. */
  set(value: Value, view: View): void {
    this.#views.set(value.name, view);
  }

  /**
   * Memory for a value, with its dimensions in this order, by default in their own. An image with channels
   * last has the frame of zeros that its readers want.
   */
  allocate(
    value: Value,
    dtype: ElementType,
    order: readonly number[] = value.shape.map((_, axis) => axis),
  ): View {
    const { name, shape } = value;
    const isImage = order.length === 4 && order.every((axis, place) => axis === channelsLast[place]);
    const part = isImage ? this.#placeInJoined(value, dtype) : undefined;
    if (part) return part;
    const ordered = order.map((axis) => shape[axis] as number);
    const memory = isImage
      ? this.image(name, shape, this.#frames.get(name) ?? noFrame, dtype)
      : denseView('arena', { name, dtype, shape: ordered });
    const view = permuted(
      memory,
      shape.map((_, axis) => order.indexOf(axis)),
    );
    this.set(value, view);
    return view;
  }

  /** Where an image is to be among others that it is joined with; undefined where it can't be. */
  #placeInJoined(value: Value, dtype: ElementType): View | undefined {
    const place = this.#joins.get(value.name);
    if (!place || this.#frames.has(value.name) || dtype !== this.elementType) return undefined;
    const { joined, start, end } = place;
    const whole = this.#views.get(joined.name) ?? this.allocate(joined, dtype, channelsLast);
    const view = sliced(whole, 1, start, end);
    this.set(value, view);
    return view;
  }

  /** Memory for an image of `shape`, seen as `[batch, rows, columns, channels]`, in a frame of zeros. */
  image(name: string, shape: Shape, frame: Frame, dtype: ElementType): View {
    const [batch, channels, rows, columns] = shape as [number, number, number, number];
    const [top, left, bottom, right] = frame;
    const whole = [batch, top + rows + bottom, left + columns + right, channels];
    const storage: Storage = { name, kind: 'arena', bytes: itemBytes[dtype] * elementCount(whole) };
    const strides = denseStrides(whole);
    const offset = top * (strides[1] as number) + left * (strides[2] as number);
    const image: View = { storage, dtype, shape: [batch, rows, columns, channels], strides, offset };
    if (frame.some((width) => width > 0)) {
      this.#framed.set(storage, { image, frame });
      this.emit('ClearFrame', name, { y: image }, { top, left, bottom, right });
    }
    return image;
  }

  /** Whether this is an image in a frame of zeros that is at least as wide. */
  hasFrame(view: View, frame: Frame): boolean {
    const known = this.#framed.get(view.storage);
    return (
      known !== undefined &&
      known.image.offset === view.offset &&
      known.image.shape.every((size, axis) => size === view.shape[axis]) &&
      known.frame.every((width, side) => width >= (frame[side] as number))
    );
  }

  /** Memory for so many sums of rows, two doubles each. */
  rowSums(name: string, count: number): View {
    return denseView('arena', { name, dtype: 'float32', shape: [4 * count] });
  }

  /** Memory for so many sums that are exchanged, see native/device/cpu/exact_sums.h. */
  exactSums(name: string, count: number): View {
    return denseView('arena', {
      name,
      dtype: 'float32',
      shape: [(exactSumBytes / itemBytes.float32) * count],
    });
  }

  /** The type of an operation's result: that of its operands, of which those of images and tokens win. */
  typeOf(operation: Operation): ElementType {
    const types = operation.spec.inputs.flatMap((value) =>
      value && !this.#part.initializers.has(value.name) ? [this.#typeNow(value)] : [],
    );
    return types.includes(this.elementType) ? this.elementType : 'float32';
  }

  #typeNow(value: Value): ElementType {
    return this.#pending.has(value.name)
      ? this.#resultType(value)
      : (this.#views.get(value.name)?.dtype ?? value.dtype);
  }

  /** How the operand of the result's shape lies, for results that are computed element by element. */
  orderLike({ shape }: Value, operands: readonly Value[]): readonly number[] | undefined {
    const whole = operands.find((value) => elementCount(value.shape) === elementCount(shape));
    return whole && whole.shape.length === shape.length ? orderOf(this.view(whole)) : undefined;
  }

  /** A weight as a product reads it, or as it is. */
  weight(value: Value, packed: PackedWeight | undefined): View {
    const initializer = this.#part.initializers.get(value.name);
    if (!initializer) throw new Error(`${value.name} is no weight`);
    const { features, inner, segments } = packed ?? {};
    const shape = packed?.mix ? [features as number, inner as number, segments as number] : value.shape;
    return this.memory.weight({ ...initializer, packed }, shape);
  }

  /** The numbers of a tensor that is kept in the program. */
  numbers(value: Value | undefined): readonly number[] {
    const content = value && this.#part.initializers.get(value.name)?.content;
    if (content?.kind !== 'constant') throw new Error(`${value?.name} is no constant`);
    return Array.from(content.tensor.data, Number);
  }

  /** Leaves a product for what follows it, or computes it where nothing can become part of it. */
  postpone(pending: Pending): void {
    this.#pending.set(pending.value.name, pending);
    if (this.#readers.get(pending.value.name) !== 1) this.#compute(pending);
  }

  /** A product whose result nobody has read, and that only one operation will read. */
  pendingOf(value: Value): Pending | undefined {
    return this.#pending.get(value.name);
  }

  /** The product is that of another value from now on. */
  replace(pending: Pending, next: Pending): void {
    this.#pending.delete(pending.value.name);
    this.postpone(next);
  }

  #compute(pending: Pending): void {
    const { value, name, multiplication, bias, shift, gate, residual, activation } = pending;
    this.#pending.delete(value.name);
    const place = placementOf(pending) as Placement;
    const result = this.allocate(value, this.#resultType(value), place.order);
    const inPlace = (view: View | undefined) => view && placed(view, place);
    const y = inPlace(result);
    if (!y) throw new Error(`${name} can't be written as ${value.name}`);
    const positions = place.dims.slice(0, -1);
    const sums = this.#sumColumns(pending, positions, y.dtype);
    const finish = { bias, shift, gate, residual: inPlace(residual), y, columnSums: sums };
    const emit: Emit = (...command) => this.emit(...command);
    multiplication.emit(emit, name, positions, finish, activationCodes[activation]);
  }

  /** As a product takes them at its positions. Float32 is summed in double precision, by the norm. */
  #sumColumns({ value, multiplication }: Pending, positions: Shape, dtype: ElementType): View | undefined {
    const units = multiplication.units(positions);
    if (!units || !this.#normed.has(value.name) || dtype === 'float32') return undefined;
    const [images, features, rows] = value.shape as [number, number, number];
    const sums = columnSums(value.name, [images, rows, units, features]);
    this.#columnSums.set(value.name, sums);
    return reshaped(sums, [...positions.slice(0, 2), ...sums.shape.slice(2)]);
  }

  /** The sums of an image's columns, if what computed it took them. */
  columnSums(image: Value): View | undefined {
    return this.#columnSums.get(image.name);
  }

  /** Results of the part are as callers take them, and what has no positions stays exact. */
  #resultType(value: Value): ElementType {
    const { dtype } = this.#part.outputs.find(({ name }) => name === value.name) ?? value;
    return value.shape.length < 3 || dtype === 'float32' ? 'float32' : this.elementType;
  }

  /** A view in another shape, copied where it must be. */
  reshape(view: View, name: string, shape: Shape): View {
    return reshaped(view, shape) ?? (reshaped(this.copied(view, name), shape) as View);
  }
}
