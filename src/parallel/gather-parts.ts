import type { GridSize } from '../base/sizes.js';
import type { Kernels } from '../graph/kernels/kernels.js';
import type { Value } from '../graph/value.js';
import { itemBytes } from '../tensor/element-type.js';
import { readWhole, type SlotReserver } from './slots.js';
import type { RankRole, Topology } from './topology.js';

/** A rectangle of an image. */
export interface Area extends GridSize {
  readonly row: number;
  readonly column: number;
}

export interface GatherOptions {
  readonly topology: Topology;
  readonly role: RankRole;
  /** Those whose parts make up the whole of this rank's result: `role` among them. */
  readonly participantsOf: (role: RankRole) => readonly RankRole[];
  readonly areaOf: (role: RankRole) => Area;
  /** The whole. */
  readonly size: GridSize;
}

/**
 * The whole result `[guidance batch, channels, rows, columns]` from the parts `[batch, channels, …]` of the
 * participants: always fresh, and so the point that no rank passes before the others have come to it.
 */
export function gatherParts(
  kernels: Kernels,
  slots: SlotReserver,
  part: Value,
  name: string,
  { topology, role, participantsOf, areaOf, size }: GatherOptions,
): Value {
  // Rounded once, wherever it is: the picture must not depend on who computes it.
  const x = kernels.asFloat32(part);
  const [batch, channels] = x.shape as [number, number];
  const total = role.guidance === 'both' ? batch : 2 * batch;
  const roleOf = (rank: number) => topology.roles[rank] as RankRole;
  const bytes = (rank: number) => {
    const { rows, columns } = areaOf(roleOf(rank));
    return itemBytes[x.dtype] * batch * channels * rows * columns;
  };
  const ranksOf = (rank: number) => participantsOf(roleOf(rank)).map((participant) => participant.rank);
  const slot = slots.add({ name, kind: 'output', age: 'fresh', bytes, reads: readWhole(ranksOf, bytes) });
  const parts = participantsOf(role).map((participant) => ({
    rank: participant.rank,
    batchStart: participant.guidance === 'conditional' ? batch : 0,
    batchCount: batch,
    ...areaOf(participant),
  }));
  return kernels.exchange.gather(name, x, slot, parts, [total, channels, size.rows, size.columns]);
}
