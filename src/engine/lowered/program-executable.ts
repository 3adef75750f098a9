import { writeFileSync } from 'node:fs';
import { readSlice } from '../../checkpoint/formats/slices.js';
import type { GraphPart } from '../../graph/graph.js';
import { storedElementTypes } from '../../graph/value.js';
import type { ElementType } from '../../tensor/element-type.js';
import { itemBytes } from '../../tensor/element-type.js';
import { elementCount, type Tensor } from '../../tensor/tensor.js';
import type { NativeProgram, ProgramBuffer, Step, WeightBytes } from '../addon.js';
import { type Executable, type ExecutableOptions, emptyTensors } from '../executable.js';
import { loadAddon } from '../load.js';
import { Buffers, encodeList } from './encode.js';
import { arenaBytes, type CommandList, type LoweredPart, listsOf, lower } from './lower.js';
import type { WeightContent } from './shared-memory.js';
import type { Storage } from './view.js';

/** A part of a program as lists of commands, see docs/engines.md. */
export class ProgramExecutable implements Executable {
  readonly #program: NativeProgram;
  readonly #part: GraphPart;
  readonly #lists: readonly CommandList[];
  readonly #variants: readonly Variant[];
  /** Storages of inputs and outputs in the order of their buffers. */
  readonly #given: readonly Storage[];
  readonly #profile: string | undefined;

  private constructor(
    program: NativeProgram,
    part: GraphPart,
    lowered: LoweredPart,
    given: readonly Storage[],
    profile: string | undefined,
  ) {
    this.#program = program;
    this.#part = part;
    this.#lists = listsOf(lowered);
    this.#variants = lowered.variants.map((variant) => ({
      first: this.#lists.indexOf(variant.first),
      later: this.#lists.indexOf(variant.later),
      results: emptyTensors(variant.part.outputs),
      lastCall: Number.POSITIVE_INFINITY,
    }));
    this.#given = given;
    this.#profile = profile;
  }

  static async load(
    part: GraphPart,
    elementType: ElementType,
    { threads, rank, profile, communicator }: ExecutableOptions,
  ): Promise<ProgramExecutable> {
    const lowered = lower(part, elementType, rank);
    const places = new Buffers();
    const lists = listsOf(lowered);
    const encoded = lists.map((list) => encodeList(list, places));
    const buffers = await Promise.all(places.storages.map((storage) => bufferOf(storage, lowered)));
    const options = {
      threads,
      arenaBytes: arenaBytes(lowered),
      buffers,
      lists: encoded,
      ...(communicator && { communicator }),
    };
    const program = await loadAddon().Program.create(options);
    const given = places.storages.filter(({ kind }) => kind === 'input' || kind === 'output');
    return new ProgramExecutable(program, part, lowered, given, profile);
  }

  zeroInputs(): Readonly<Record<string, Tensor>> {
    return emptyTensors(this.#part.inputs);
  }

  async run(
    inputs: Readonly<Record<string, Tensor>>,
    step?: Step,
    variant = 0,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const chosen = this.#variants[variant] as Variant;
    const { first, later, results } = chosen;
    const call = step?.call ?? 0;
    // Others may have run before: calls of an image go up, and its first one of this part need not be 0.
    const isNew = call <= chosen.lastCall;
    chosen.lastCall = call;
    // Those of other sizes are of other variants.
    const arrays = this.#given.map(({ name, kind, bytes }) => {
      const data = (kind === 'input' ? inputs : results)[name]?.data;
      return data?.byteLength === bytes ? data : undefined;
    });
    await this.#program.run(call === 0 ? first : later, arrays, isNew, step);
    return results;
  }

  release(): void {
    if (this.#profile !== undefined) this.#writeProfile(`${this.#profile}_commands.json`);
    this.#program.release();
  }

  /** How long each command took in all calls together, and on which shapes. */
  #writeProfile(path: string): void {
    const rows = this.#lists.flatMap(({ commands }, list) => {
      const times = this.#program.milliseconds(list);
      return commands.map(({ op, name, operands }, index) => ({
        list,
        op,
        name,
        milliseconds: times[index],
        shapes: Object.fromEntries(Object.entries(operands).map(([operand, { shape }]) => [operand, shape])),
      }));
    });
    writeFileSync(path, JSON.stringify(rows, null, 1));
  }
}

/** In which list a part's variant is found, by its place, and what it returns. */
interface Variant {
  readonly first: number;
  readonly later: number;
  readonly results: Readonly<Record<string, Tensor>>;
  /** Of the current image, or of the one before. */
  lastCall: number;
}

async function bufferOf(storage: Storage, { weights }: LoweredPart): Promise<ProgramBuffer> {
  const { kind, bytes } = storage;
  if (kind === 'arena') throw new Error(`${storage.name} has no buffer of its own`);
  if (kind !== 'weight') return { kind, bytes };
  const weight = weights.get(storage) as WeightContent;
  const where = await bytesOf(weight);
  const dtype = weight.value.dtype;
  const size = itemBytes[dtype] * elementCount(weight.value.shape);
  if (weight.packed === undefined) return { kind, bytes: size, ...where };
  return {
    kind: 'packed',
    bytes: size,
    dtype: floats(dtype),
    packed: { ...weight.packed, dtype: floats(weight.packed.dtype) },
    ...where,
  };
}

function floats(dtype: ElementType): 'float32' | 'bfloat16' {
  if (dtype === 'float32' || dtype === 'bfloat16') return dtype;
  throw new Error(`no product is of ${dtype}`);
}

async function bytesOf({ value, content }: WeightContent): Promise<WeightBytes> {
  switch (content.kind) {
    case 'weight': {
      const { dtype, file, offset } = content.entry;
      if (storedElementTypes[dtype] !== value.dtype) throw new Error(`${value.name} is of type ${dtype}`);
      return { file, offset };
    }
    case 'slice':
      return { data: (await readSlice(content.slice)).data };
    case 'constant':
      return { data: content.tensor.data };
  }
}
