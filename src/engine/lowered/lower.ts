import type { GraphPart } from '../../graph/graph.js';
import type { OperatorName } from '../../graph/operators.js';
import type { ElementType } from '../../tensor/element-type.js';
import { type Arena, layOut } from './arena.js';
import type { Command } from './command.js';
import { frameOf } from './convolutions.js';
import { type Doubling, findDoubling } from './doubling.js';
import { type Frame, Lowering, noFrame, type WeightContent } from './lowering.js';
import { lowerings } from './operators.js';
import type { Storage } from './view.js';

/** What a device runs: see docs/engines.md. */
export interface CommandList {
  /** Before the first call of an image. */
  readonly prepared: readonly Command[];
  /** At every call. */
  readonly commands: readonly Command[];
  readonly arena: Arena;
  readonly weights: ReadonlyMap<Storage, WeightContent>;
}

/** A part of a program as commands of this rank, with activations of this type. */
export function lower(part: GraphPart, elementType: ElementType, rank: number): CommandList {
  const doubling = findDoubling(part);
  const lowering = new Lowering(part, elementType, rank, { frames: framesOf(part, doubling), doubling });
  lowering.readInputs();
  for (const operation of part.operations) {
    const lowerOperation = lowerings[operation.spec.op as OperatorName];
    if (!lowerOperation) throw new Error(`${operation.spec.op} is no command of any device`);
    lowerOperation(lowering, operation);
  }
  lowering.writeOutputs();
  const { commands, prepared, weights } = lowering;
  return { commands, prepared, arena: layOut([...prepared, ...commands]), weights };
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
