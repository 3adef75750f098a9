import type { GraphPart } from '../../graph/graph.js';
import type { OperatorName } from '../../graph/operators.js';
import type { ElementType } from '../../tensor/element-type.js';
import { type Arena, layOut } from './arena.js';
import type { Command } from './command.js';
import { frameOf } from './convolutions.js';
import { type Doubling, findDoubling } from './doubling.js';
import { type Frame, Lowering, type LoweringOptions, noFrame } from './lowering.js';
import { findModulatedNorms } from './modulated-norms.js';
import { lowerings, lowerModulatedNorm } from './operators.js';
import { SharedMemory, type WeightContent } from './shared-memory.js';
import type { Storage } from './view.js';

/** What a device runs: see docs/engines.md. */
export interface CommandList {
  /** Before the first call of an image. */
  readonly prepared: readonly Command[];
  /** At every call. */
  readonly commands: readonly Command[];
  readonly arena: Arena;
}

/** A part in one of its sizes. */
export interface LoweredVariant {
  readonly part: GraphPart;
  /** Of an image's first step. */
  readonly first: CommandList;
  /** Of all others; mostly the same. */
  readonly later: CommandList;
}

/** A part as commands of one rank. */
export interface LoweredPart {
  /** One for a part of fixed sizes. */
  readonly variants: readonly LoweredVariant[];
  readonly weights: ReadonlyMap<Storage, WeightContent>;
}

/** Each list once. */
export function listsOf({ variants }: LoweredPart): readonly CommandList[] {
  return [...new Set(variants.flatMap(({ first, later }) => [first, later]))];
}

/** Of the one arena that all lists work on. */
export function arenaBytes(part: LoweredPart): number {
  return Math.max(...listsOf(part).map(({ arena }) => arena.bytes));
}

/** A part of a program as commands of this rank, with activations of this type. */
export function lower(part: GraphPart, elementType: ElementType, rank: number): LoweredPart {
  const memory = new SharedMemory();
  const parts = part.variants.length > 0 ? part.variants.map((variant) => variant.part) : [part];
  const variants = parts.map((own) => {
    const first = lowerPart(own, { elementType, rank, memory, isFirstStep: true });
    const keeps = own.operations.some(({ spec }) => spec.op === ('CachedAttention' satisfies OperatorName));
    const later = keeps ? lowerPart(own, { elementType, rank, memory, isFirstStep: false }) : first;
    return { part: own, first, later };
  });
  return { variants, weights: memory.weights };
}

function lowerPart(part: GraphPart, options: LoweringOptions): CommandList {
  const doubling = findDoubling(part);
  const lowering = new Lowering(part, { frames: framesOf(part, doubling), doubling }, options);
  lowering.readInputs();
  const { parts, norms } = findModulatedNorms(part);
  for (const operation of part.operations) {
    if (parts.has(operation)) continue;
    const modulated = norms.get(operation);
    if (modulated) {
      lowerModulatedNorm(lowering, modulated);
      continue;
    }
    const lowerOperation = lowerings[operation.spec.op as OperatorName];
    if (!lowerOperation) throw new Error(`${operation.spec.op} is no command of any device`);
    lowerOperation(lowering, operation);
  }
  lowering.writeOutputs();
  const { commands, prepared } = lowering;
  return { commands, prepared, arena: layOut([...prepared, ...commands]) };
}

/** By name of an image the widest frame that convolutions read around it. */
function framesOf({ operations }: GraphPart, { sources }: Doubling): Map<string, Frame> {
  const frames = new Map<string, Frame>();
  for (const operation of operations) {
    const [x] = operation.spec.inputs;
    if (operation.spec.op !== 'Conv' || !x) continue;
    const { name } = sources.get(x.name) ?? x;
    const known = frames.get(name) ?? noFrame;
    const own = frameOf(operation);
    frames.set(name, known.map((width, side) => Math.max(width, own[side] as number)) as unknown as Frame);
  }
  return frames;
}
