import { writeFileSync } from 'node:fs';
import type { GraphPart } from '../../graph/graph.js';
import type { ElementType } from '../../tensor/element-type.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { NativeProgram, ProgramBuffer, Step } from '../addon.js';
import { type Executable, type ExecutableOptions, emptyTensors } from '../executable.js';
import { loadAddon } from '../load.js';
import { Buffers, encode } from './encode.js';
import { type CommandList, lower } from './lower.js';
import type { WeightContent } from './lowering.js';
import { openPacked, type PackedFile } from './packed-weights.js';
import type { Storage } from './view.js';
import { bytesOfWeight, formOf, isPacked, readUnpacked, readWeight } from './weight-bytes.js';

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
    { threads, rank, profile, communicator, noteOnce }: ExecutableOptions,
  ): Promise<ProgramExecutable> {
    const list = lower(part, elementType, rank);
    const places = new Buffers(list);
    const prepared = encode(list.prepared, places);
    const commands = encode(list.commands, places);
    const packed = await openPacked(list.weights, { threads, noteOnce });
    try {
      const buffers = await Promise.all(places.storages.map((storage) => bufferOf(storage, list, packed)));
      const memory = { arenaBytes: list.arena.bytes, buffers };
      const options = { threads, ...memory, prepared, commands, ...(communicator && { communicator }) };
      const program = await loadAddon().Program.create(options);
      return new ProgramExecutable(program, part, list, givenOf(places), profile);
    } finally {
      await packed?.close();
    }
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

function givenOf({ storages }: Buffers): readonly Storage[] {
  return storages.filter(({ kind }) => kind === 'input' || kind === 'output');
}

async function bufferOf(
  storage: Storage,
  list: CommandList,
  packed: PackedFile | undefined,
): Promise<ProgramBuffer> {
  const { kind, bytes } = storage;
  if (kind === 'arena') throw new Error(`${storage.name} has no buffer of its own`);
  if (kind !== 'weight') return { kind, bytes };
  const weight = list.weights.get(storage) as WeightContent;
  if (!isPacked(weight)) return { kind, bytes: bytesOfWeight(weight), ...(await readWeight(weight)) };
  const offset = packed?.offsets.get(storage);
  if (packed === undefined || offset === undefined)
    return { kind: 'unpacked', ...(await readUnpacked(weight)) };
  const form = formOf(weight);
  return { kind: 'packed', bytes: bytesOfWeight(weight), packed: form, file: packed.file, offset };
}
