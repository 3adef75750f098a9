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
import { Buffers, encode } from './encode.js';
import { type CommandList, lower } from './lower.js';
import type { WeightContent } from './lowering.js';
import type { Storage } from './view.js';

/** A part of a program as a list of commands, see docs/engines.md. */
export class ProgramExecutable implements Executable {
  readonly #program: NativeProgram;
  readonly #part: GraphPart;
  /** Storages of inputs and outputs in the order of their buffers. */
  readonly #given: readonly Storage[];
  readonly #results: Readonly<Record<string, Tensor>>;
  readonly #list: CommandList;
  readonly #profile: string | undefined;

  private constructor(
    program: NativeProgram,
    part: GraphPart,
    list: CommandList,
    given: readonly Storage[],
    profile: string | undefined,
  ) {
    this.#program = program;
    this.#part = part;
    this.#list = list;
    this.#given = given;
    this.#profile = profile;
    this.#results = emptyTensors(part.outputs);
  }

  static async load(
    part: GraphPart,
    elementType: ElementType,
    { threads, rank, profile, communicator }: ExecutableOptions,
  ): Promise<ProgramExecutable> {
    const list = lower(part, elementType, rank);
    const places = new Buffers(list);
    const prepared = encode(list.prepared, places);
    const commands = encode(list.commands, places);
    const buffers = await Promise.all(places.storages.map((storage) => bufferOf(storage, list)));
    const memory = { arenaBytes: list.arena.bytes, buffers };
    const options = { threads, ...memory, prepared, commands, ...(communicator && { communicator }) };
    const program = await loadAddon().Program.create(options);
    const given = places.storages.filter(({ kind }) => kind === 'input' || kind === 'output');
    return new ProgramExecutable(program, part, list, given, profile);
  }

  zeroInputs(): Readonly<Record<string, Tensor>> {
    return emptyTensors(this.#part.inputs);
  }

  async run(
    inputs: Readonly<Record<string, Tensor>>,
    step?: Step,
    results: Readonly<Record<string, Tensor>> = this.#results,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const arrays = this.#given.map(
      ({ name, kind }) => ((kind === 'input' ? inputs : results)[name] as Tensor).data,
    );
    await this.#program.run(arrays, step === undefined || step.call === 0, step);
    return results;
  }

  release(): void {
    if (this.#profile !== undefined) this.#writeProfile(`${this.#profile}_commands.json`);
    this.#program.release();
  }

  /** How long each command took in all calls together, and on which shapes. */
  #writeProfile(path: string): void {
    const times = this.#program.milliseconds();
    const rows = this.#list.commands.map(({ op, name, operands }, index) => ({
      op,
      name,
      milliseconds: times[index],
      shapes: Object.fromEntries(Object.entries(operands).map(([operand, { shape }]) => [operand, shape])),
    }));
    writeFileSync(path, JSON.stringify(rows, null, 1));
  }
}

async function bufferOf(storage: Storage, list: CommandList): Promise<ProgramBuffer> {
  const { kind, bytes } = storage;
  if (kind === 'arena') throw new Error(`${storage.name} has no buffer of its own`);
  if (kind !== 'weight') return { kind, bytes };
  const weight = list.weights.get(storage) as WeightContent;
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
