import { sum } from '../base/numbers.js';
import { type Graph, loadedParts } from '../graph/graph.js';
import { peakActivationBytes } from '../graph/passes/liveness.js';
import { byteLength } from '../graph/value.js';
import type { WeightsMode } from '../machine/memory.js';
import { itemBytes } from '../tensor/element-type.js';
import type { Device } from './device.js';
import { arenaBytes, type CommandList, type LoweredPart, listsOf } from './lowered/lower.js';
import type { WeightContent } from './lowered/shared-memory.js';
import type { Storage } from './lowered/view.js';

/** Bytes that a process holds of what it runs. */
export interface HeldBytes {
  /** Weights where they lie in files, packed or not: in the page cache, once for all processes. */
  readonly sharedWeights: number;
  /** Weights of which the process has a copy, or a part that no file has in one piece. */
  readonly privateWeights: number;
  /** Results of a call, at its fullest moment. */
  readonly activations: number;
  /** What is kept from call to call. */
  readonly kept: number;
}

type Engine = Pick<Device, 'commands'>;

/**
 * Of graphs that rank `rank` has loaded at the same time, the first of which computes what they have in
 * common. From the lists of commands where the engine runs such; else an estimate.
 */
export function heldBytes(
  device: Engine,
  graphs: readonly Graph[],
  weights: WeightsMode,
  rank: number,
): HeldBytes {
  const { commands } = device;
  if (!commands) return estimated(graphs, weights);
  return partsBytes(loadedParts(graphs).map((part) => commands(part, rank)));
}

/** Bytes of activations alone. */
export function activationBytes(device: Engine, graph: Graph): number {
  return heldBytes(device, [graph], 'shared', 0).activations;
}

function estimated(graphs: readonly Graph[], weights: WeightsMode): HeldBytes {
  const [first] = graphs;
  const all = sum((first?.weights ?? []).map(byteLength));
  const cut = sum((first?.slices ?? []).flatMap(({ pieces }) => pieces.map(({ length }) => length)));
  const privateWeights = weights === 'private' ? all : cut;
  return {
    sharedWeights: all - privateWeights,
    privateWeights,
    activations: Math.max(...graphs.map(peakActivationBytes)),
    kept: 0,
  };
}

function partsBytes(parts: readonly LoweredPart[]): HeldBytes {
  const contents = parts.flatMap(({ weights }) => [...weights.values()]);
  // What is packed lies in a file as well.
  const isShared = ({ packed, content }: WeightContent) =>
    content.kind === 'weight' || (packed !== undefined && content.kind === 'slice');
  const bytes = (wanted: boolean) =>
    sum(contents.filter((weight) => isShared(weight) === wanted).map(weightBytes));
  const storages = parts.flatMap((part) => [...new Set(listsOf(part).flatMap(storagesOf))]);
  // What one list hands over to others is the caller's once.
  const given = new Map(
    storages
      .filter(({ kind }) => kind === 'input' || kind === 'output')
      .map((storage) => [storage.name, storage.bytes]),
  );
  return {
    sharedWeights: bytes(true),
    privateWeights: bytes(false),
    activations: sum(parts.map(arenaBytes)) + sum([...given.values()]),
    kept: sum(storages.filter(({ kind }) => kind === 'kept').map((storage) => storage.bytes)),
  };
}

/** As it is held: packed weights without what fills up a kernel's last lanes. */
function weightBytes({ value, packed }: WeightContent): number {
  if (!packed) return byteLength(value);
  return itemBytes[packed.dtype] * packed.features * packed.segments * packed.inner;
}

function storagesOf({ prepared, commands }: CommandList): readonly Storage[] {
  return [...prepared, ...commands].flatMap(({ operands }) =>
    Object.values(operands).map(({ storage }) => storage),
  );
}
