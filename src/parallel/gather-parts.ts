import type { GridSize } from '../base/sizes.js';
import { int, ints, type Value } from '../graph/graph.js';
import type { Kernels } from '../graph/kernels/kernels.js';
import type { SlotReserver } from './slots.js';
import type { RankRole, Topology } from './topology.js';

/** A rectangle of an image. */
export interface Area {
  readonly row: number;
  readonly rows: number;
  readonly column: number;
  readonly columns: number;
}

export interface GatherOptions {
  readonly topology: Topology;
  readonly role: RankRole;
  /** Those whose parts make up the whole, this rank among them. */
  readonly participants: readonly RankRole[];
  readonly areaOf: (role: RankRole) => Area;
  /** The whole. */
  readonly size: GridSize;
}

const bytesPerFloat = 4;

/**
 * The whole result `[guidance batch, channels, rows, columns]` from the parts `[batch, channels, …]` of the participants: always fresh, and so
 * the point that no rank passes before the others have come to it.
 */
export function gatherParts(
  kernels: Kernels,
  slots: SlotReserver,
  x: Value,
  name: string,
  { topology, role, participants, areaOf, size }: GatherOptions,
): Value {
  const [batch, channels] = x.shape as [number, number];
  const total = role.guidance === 'both' ? batch : 2 * batch;
  const slot = slots.add(name, (rank) => {
    const { rows, columns } = areaOf(topology.roles[rank] as RankRole);
    return bytesPerFloat * batch * channels * rows * columns;
  });
  const each = (part: (role: RankRole) => number) => ints(participants.map(part));
  const attributes = {
    slot: int(slot),
    ranks: each(({ rank }) => rank),
    batch_start: each(({ guidance }) => (guidance === 'conditional' ? batch : 0)),
    batch_count: each(() => batch),
    row_start: each((part) => areaOf(part).row),
    row_count: each((part) => areaOf(part).rows),
    column_start: each((part) => areaOf(part).column),
    column_count: each((part) => areaOf(part).columns),
    batch: int(total),
    rows: int(size.rows),
    columns: int(size.columns),
  };
  const whole = kernels.graph.node({ op: 'GatherBands', domain: 'distri', name, inputs: [x], attributes }, [
    total,
    channels,
    size.rows,
    size.columns,
  ]);
  return kernels.graph.withRegion(whole, undefined);
}
