import type { Step } from '../engine/addon.js';
import type { Operation } from '../graph/graph.js';
import { splitEvenly } from '../parallel/topology.js';

/** What is exchanged, by the kind of layer that needs it. */
export const exchangeKinds = [
  'halo',
  'keys_values',
  'heads',
  'statistics',
  'partial_sums',
  'hidden_states',
  'latents',
  'output',
] as const;
export type ExchangeKind = (typeof exchangeKinds)[number];

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

/** `slotBytes[slot][rank]`, see SlotTable.bytes. */
export type SlotBytes = readonly (readonly number[])[];

interface Context {
  readonly operation: Operation;
  readonly slotBytes: SlotBytes;
  readonly rank: number;
  readonly step: Step;
  /** How many slots after an operation's own this run uses, see CachedAttention. */
  readonly offset: number;
}

/** The exchanging operators, each as native/ops/README.md describes it. */
const rules: Readonly<Record<string, (context: Context) => readonly Exchange[]>> = {
  HaloExchange: (context) => halo(context, 'slot'),
  HaloStrips: (context) => halo(context, 'slot'),
  PatchGroupNorm: statistics,
  PatchGroupNormHalo: (context) => [...statistics(context), ...halo(context, 'halo_slot')],
  PatchAttention: keysAndValues,
  SequenceAttention: sequence,
  CachedAttention: keysAndValuesOfPart,
  GatherBands: output,
  AllReduceSum: partialSums,
};

/** What `rank` exchanges in an operation: nothing in most. */
export function exchangesOf(
  operation: Operation,
  slotBytes: SlotBytes,
  rank: number,
  step: Step,
  offset = 0,
): readonly Exchange[] {
  const rule = rules[operation.spec.op];
  if (rule) return rule({ operation, slotBytes, rank, step, offset });
  if (operation.spec.attributes?.slot) throw new Error(`no rule says what ${operation.spec.op} exchanges`);
  return [];
}

/** Statistics without exchange, in PatchGroupNorm's attribute `statistics`. */
const FRESH = 0;
const SEPARATE = 3;

function halo(context: Context, slot: string): readonly Exchange[] {
  const neighbours = [intOf(context, 'above'), intOf(context, 'below')].filter((rank) => rank >= 0);
  if (neighbours.length === 0) return [];
  const whole = exchange(context, 'halo', slot, neighbours, intOf(context, 'fresh') === 1);
  // A band leaves its first and its last row, of which each neighbour reads one.
  return [{ ...whole, fetched: whole.fetched / 2 }];
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

/** The ranks of a stage exchange what each has of a part; parts of different heights have slots of their own. */
function keysAndValuesOfPart(context: Context): readonly Exchange[] {
  const peers = othersOf(context, 'peers');
  return peers.length === 0 ? [] : [exchange(context, 'keys_values', 'slot', peers, true)];
}

function output(context: Context): readonly Exchange[] {
  const ranks = othersOf(context, 'ranks');
  return ranks.length === 0 ? [] : [exchange(context, 'output', 'slot', ranks, true)];
}

/**
 * Queries, keys and values of its heads from the ranks of its Ulysses group, keys and values alone from the other groups; then, of the former, what
 * became of its tokens.
 */
function sequence(context: Context): readonly Exchange[] {
  const { operation, slotBytes, rank } = context;
  const [peers, tokens] = [intsOf(operation, 'peers'), intsOf(operation, 'tokens')];
  const [index, ulysses] = [intOf(context, 'index'), intOf(context, 'ulysses')];
  const heads = splitEvenly(intOf(context, 'heads'), ulysses);
  const headsOf = (member: number) => (heads[member + 1] as number) - (heads[member] as number);
  const member = index % ulysses;
  const share = headsOf(member) / (heads.at(-1) as number);
  const group = (place: number) => Math.floor(place / ulysses);
  const own = (place: number) => place !== index && group(place) === group(index);
  const slot = slotBytes[intOf(context, 'slot')] as readonly number[];
  const mixed = slotBytes[intOf(context, 'mixed_slot')] as readonly number[];
  const read = (wanted: (place: number) => boolean, bytes: (place: number) => number) =>
    peers.reduce((sum, _, place) => (wanted(place) ? sum + bytes(place) : sum), 0);
  const part = (place: number) => share * (slot[peers[place] as number] as number);
  const ring: Exchange = {
    kind: 'keys_values',
    published: ulysses === 1 ? (slot[rank] as number) : 0,
    fetched: read(
      (place) => group(place) !== group(index),
      (place) => (ulysses === 1 ? 1 : 2 / 3) * part(place),
    ),
    awaited: true,
  };
  if (ulysses === 1) return [ring];
  const tokensOfGroup = read(
    (place) => group(place) === group(index),
    (place) => tokens[place] as number,
  );
  const results = (place: number) =>
    ((mixed[peers[place] as number] as number) * (tokens[index] as number)) / tokensOfGroup;
  const exchanged: Exchange = {
    kind: 'heads',
    published: (slot[rank] as number) + (mixed[rank] as number),
    fetched: read(own, (place) => part(place) + results(place)),
    awaited: true,
  };
  return ulysses === peers.length ? [exchanged] : [exchanged, ring];
}

/** Parts go to all; among more than two ranks each reads and adds its share of them, and the shares go to all. */
function partialSums(context: Context): readonly Exchange[] {
  const { operation, slotBytes, rank } = context;
  const peers = othersOf(context, 'peers');
  const sources = othersOf(context, 'sources');
  const parts = exchange(context, 'partial_sums', 'slot', sources, true);
  if (peers.length < 2) return [parts];
  const ownShare = (slotBytes[intAttribute(operation, 'share_slot')] as readonly number[])[rank] as number;
  return [
    { ...parts, fetched: sources.length * ownShare },
    exchange(context, 'partial_sums', 'share_slot', peers, true),
  ];
}

/** `fresh`: always of this step, so published at every step. */
function exchange(
  { operation, slotBytes, rank, step, offset }: Context,
  kind: ExchangeKind,
  slotName: string,
  peers: readonly number[],
  fresh: boolean,
): Exchange {
  const slot = slotBytes[intAttribute(operation, slotName) + offset] as readonly number[];
  return {
    kind,
    published: fresh || step.publish ? (slot[rank] as number) : 0,
    fetched: peers.reduce((sum, peer) => sum + (slot[peer] as number), 0),
    awaited: fresh || step.readTick === step.tick,
  };
}

function othersOf({ operation, rank }: Context, name: string): number[] {
  return intsOf(operation, name).filter((peer) => peer !== rank);
}

function intsOf({ spec }: Operation, name: string): readonly number[] {
  const attribute = spec.attributes?.[name];
  if (attribute?.type !== 'ints') throw new Error(`${spec.name} has no integers ${name}`);
  return attribute.value;
}

function intOf({ operation }: Context, name: string): number {
  return intAttribute(operation, name);
}

function intAttribute({ spec }: Operation, name: string): number {
  const attribute = spec.attributes?.[name];
  if (attribute?.type !== 'int') throw new Error(`${spec.name} has no integer ${name}`);
  return attribute.value;
}
