import { sum } from '../base/numbers.js';
import type { Step } from '../engine/addon.js';
import { findOperator } from '../graph/operators.js';
import { intAttribute, type Operation } from '../graph/value.js';
import { type ExchangeKind, NO_SLOT, type SlotPlan, type SlotTable } from '../parallel/slots.js';

/** What one rank does in one exchange of one step. */
export interface Exchange {
  readonly kind: ExchangeKind;
  /** Bytes that it publishes. */
  readonly published: number;
  /** Bytes that it reads of others, as the communicator counts them. */
  readonly fetched: number;
  /** Whether it reads what others publish in this very step, so that it waits for them. */
  readonly awaited: boolean;
}

/**
 * What `rank` exchanges in an operation: nothing in most. `offset`: how many slots after its own the
 * operation uses, see CachedAttention.
 */
export function exchangesOf(
  { spec }: Operation,
  slots: SlotTable,
  rank: number,
  step: Step,
  offset = 0,
): readonly Exchange[] {
  const indices = (findOperator(spec.op)?.slots ?? []).map((name) => intAttribute(spec, name));
  return indices
    .filter((index) => index !== NO_SLOT)
    .flatMap((index) => slotExchanges(slots.slot(index + offset), slots.ranks, rank, step));
}

/** What `rank` leaves and reads in a slot in a step, by what it reads it for. */
export function slotExchanges(
  slot: SlotPlan,
  ranks: readonly number[],
  rank: number,
  step: Step,
): readonly Exchange[] {
  const current = step.tick === step.readTick;
  if (slot.age === 'warm_up' && !current) return [];
  const published = slot.age === 'fresh' || step.publish ? slot.bytes(rank) : 0;
  const reads = new Map<ExchangeKind, number[]>([[slot.kind, []]]);
  for (const publisher of ranks) {
    const bytes = publisher === rank ? 0 : slot.reads(rank, publisher);
    if (bytes === 0) continue;
    const kind = slot.kindOfRead?.(rank, publisher) ?? slot.kind;
    reads.set(kind, [...(reads.get(kind) ?? []), bytes]);
  }
  return [...reads].flatMap(([kind, bytes]): Exchange[] => {
    const own = kind === slot.kind ? published : 0;
    if (own === 0 && bytes.length === 0) return [];
    const awaited = bytes.length > 0 && (slot.age === 'fresh' || current);
    return [{ kind, published: own, fetched: sum(bytes), awaited }];
  });
}
