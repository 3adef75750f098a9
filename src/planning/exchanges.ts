import type { Operation } from '../graph/graph.js';
import type { Step } from '../native/addon.js';

/** What is exchanged, by the kind of layer that needs it. */
export const exchangeKinds = ['halo', 'keys_values', 'statistics', 'partial_sums', 'output'] as const;
export type ExchangeKind = (typeof exchangeKinds)[number];

/** What one rank does in one exchange of one step. */
export interface Exchange {
  readonly kind: ExchangeKind;
  /** Bytes that it publishes. */
  readonly published: number;
  /** Bytes that it reads of others: whole slots, as the communicator counts them. */
  readonly fetched: number;
  /** Whether it reads what others publish in this very step, so that it waits for them. */
  readonly awaited: boolean;
}

/** `slotBytes[slot][rank]`, see SlotTable.bytes. */
export type SlotBytes = readonly (readonly number[])[];

interface Context {
  readonly operation: Operation;
  readonly slotBytes: SlotBytes;
  readonly rank: number;
  readonly step: Step;
}

/** The exchanging operators, each as native/ops/README.md describes it. */
const rules: Readonly<Record<string, (context: Context) => readonly Exchange[]>> = {
  HaloExchange: (context) => halo(context, 'slot'),
  HaloStrips: (context) => halo(context, 'slot'),
  PatchGroupNorm: statistics,
  PatchGroupNormHalo: (context) => [...statistics(context), ...halo(context, 'halo_slot')],
  PatchAttention: keysAndValues,
  GatherBands: output,
  AllReduceSum: partialSums,
};

/** What `rank` exchanges in an operation: nothing in most. */
export function exchangesOf(
  operation: Operation,
  slotBytes: SlotBytes,
  rank: number,
  step: Step,
): readonly Exchange[] {
  const rule = rules[operation.spec.op];
  if (rule) return rule({ operation, slotBytes, rank, step });
  if (operation.spec.attributes?.slot) throw new Error(`no rule says what ${operation.spec.op} exchanges`);
  return [];
}

/** Statistics without exchange, in PatchGroupNorm's attribute `statistics`. */
const FRESH = 0;
const SEPARATE = 3;

function halo(context: Context, slot: string): readonly Exchange[] {
  const neighbours = [intOf(context, 'above'), intOf(context, 'below')].filter((rank) => rank >= 0);
  if (neighbours.length === 0) return [];
  return [exchange(context, 'halo', slot, neighbours, intOf(context, 'fresh') === 1)];
}

function statistics(context: Context): readonly Exchange[] {
  const peers = othersOf(context, 'peers');
  const { tick, readTick } = context.step;
  const mode = intOf(context, 'statistics');
  if (peers.length === 0 || (mode === SEPARATE && tick !== readTick)) return [];
  return [exchange(context, 'statistics', 'slot', peers, mode === FRESH)];
}

function keysAndValues(context: Context): readonly Exchange[] {
  const peers = othersOf(context, 'peers');
  if (peers.length === 0) return [];
  return [exchange(context, 'keys_values', 'slot', peers, intOf(context, 'fresh') === 1)];
}

function output(context: Context): readonly Exchange[] {
  const ranks = othersOf(context, 'ranks');
  return ranks.length === 0 ? [] : [exchange(context, 'output', 'slot', ranks, true)];
}

/** Parts go to all; among more than two ranks each adds its share of them, and the shares go to all. */
function partialSums(context: Context): readonly Exchange[] {
  const peers = othersOf(context, 'peers');
  const parts = exchange(context, 'partial_sums', 'slot', othersOf(context, 'sources'), true);
  return peers.length < 2 ? [parts] : [parts, exchange(context, 'partial_sums', 'share_slot', peers, true)];
}

/** `fresh`: always of this step, so published at every step. */
function exchange(
  { operation, slotBytes, rank, step }: Context,
  kind: ExchangeKind,
  slotName: string,
  peers: readonly number[],
  fresh: boolean,
): Exchange {
  const slot = slotBytes[intAttribute(operation, slotName)] as readonly number[];
  return {
    kind,
    published: fresh || step.publish ? (slot[rank] as number) : 0,
    fetched: peers.reduce((sum, peer) => sum + (slot[peer] as number), 0),
    awaited: fresh || step.readTick === step.tick,
  };
}

function othersOf({ operation, rank }: Context, name: string): number[] {
  const attribute = operation.spec.attributes?.[name];
  if (attribute?.type !== 'ints') throw new Error(`${operation.spec.name} has no integers ${name}`);
  return attribute.value.filter((peer) => peer !== rank);
}

function intOf({ operation }: Context, name: string): number {
  return intAttribute(operation, name);
}

function intAttribute({ spec }: Operation, name: string): number {
  const attribute = spec.attributes?.[name];
  if (attribute?.type !== 'int') throw new Error(`${spec.name} has no integer ${name}`);
  return attribute.value;
}
