import { writeFileSync } from 'node:fs';
import type { GraphPart } from '../../graph/graph.js';
import type { ElementType } from '../../tensor/element-type.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { NativeProgram, ProgramBuffer, Step } from '../addon.js';
import { type Executable, type ExecutableOptions, emptyTensors } from '../executable.js';
import { loadAddon } from '../load.js';
import { Buffers, encodeList } from './encode.js';
import { arenaBytes, type CommandList, type LoweredPart, listsOf, lower } from './lower.js';
import { openPacked, type PackedFile } from './packed-weights.js';
import type { WeightContent } from './shared-memory.js';
import type { Storage } from './view.js';
import { bytesOfWeight, formOf, isPacked, readUnpacked, readWeight } from './weight-bytes.js';

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
    { threads, rank, profile, communicator, noteOnce }: ExecutableOptions,
  ): Promise<ProgramExecutable> {
    const lowered = lower(part, elementType, rank);
    const lists = listsOf(lowered);
    const places = new Buffers();
    const encoded = lists.map((list) => encodeList(list, places));
    const packed = await openPacked(lowered.weights, { threads, noteOnce });
    try {
      const buffers = await Promise.all(places.storages.map((storage) => bufferOf(storage, lowered, packed)));
      const memory = { arenaBytes: arenaBytes(lowered), buffers };
      const options = { threads, ...memory, lists: encoded, ...(communicator && { communicator }) };
      const program = await loadAddon().Program.create(options);
      return new ProgramExecutable(program, part, lowered, givenOf(places), profile);
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

function givenOf({ storages }: Buffers): readonly Storage[] {
  return storages.filter(({ kind }) => kind === 'input' || kind === 'output');
}

async function bufferOf(
  storage: Storage,
  { weights }: LoweredPart,
  packed: PackedFile | undefined,
): Promise<ProgramBuffer> {
  const { kind, bytes } = storage;
  if (kind === 'arena') throw new Error(`${storage.name} has no buffer of its own`);
  if (kind !== 'weight') return { kind, bytes };
  const weight = weights.get(storage) as WeightContent;
  if (!isPacked(weight)) return { kind, bytes: bytesOfWeight(weight), ...(await readWeight(weight)) };
  const offset = packed?.offsets.get(storage);
  if (packed === undefined || offset === undefined)
    return { kind: 'unpacked', ...(await readUnpacked(weight)) };
  const form = formOf(weight);
  return { kind: 'packed', bytes: bytesOfWeight(weight), packed: form, file: packed.file, offset };
}
