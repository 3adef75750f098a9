import { sum } from '../../base/numbers.js';
import { intAttribute, intsAttribute, type Operation, type Value } from '../../graph/value.js';
import { itemBytes } from '../../tensor/element-type.js';
import { elementCount } from '../../tensor/tensor.js';
import { type Attended, attend, emitAttention, operandsOf } from './attention.js';
import type { Lowering } from './lowering.js';
import { bytesOf, Slot } from './slot.js';
import { denseView, sliced, type View } from './view.js';

/**
 * Query, key and value `[batch, tokens, features]` of the own tokens, against those of all peers. Keys and
 * values come together in the order of the picture, also those of a ring: so a result does not depend on how
 * many ranks share it.
 */
export function lowerSequenceAttention(lowering: Lowering, operation: Operation): void {
  const exchange = new SequenceExchange(lowering, operation);
  exchange.publish();
  const attended = exchange.gatherKeysAndValues();
  if (exchange.swapsHeads) exchange.attendHeads(attended);
  else attend(lowering, operation, { query: exchange.own.query, ...attended });
}

/** Channels of some heads. */
interface Channels {
  readonly start: number;
  readonly count: number;
}

type Part = keyof Attended;

/** Tokens for heads among `ulysses` consecutive peers, keys and values of these heads from all peers. */
class SequenceExchange {
  readonly own: Attended;
  readonly #lowering: Lowering;
  readonly #operation: Operation;
  readonly #peers: readonly number[];
  /** Of each peer. */
  readonly #tokens: readonly number[];
  readonly #index: number;
  readonly #ulysses: number;
  readonly #heads: number;
  readonly #slot: Slot;

  constructor(lowering: Lowering, operation: Operation) {
    const { spec } = operation;
    this.own = operandsOf(lowering, operation);
    this.#lowering = lowering;
    this.#operation = operation;
    this.#peers = intsAttribute(spec, 'peers');
    this.#tokens = intsAttribute(spec, 'tokens');
    this.#index = intAttribute(spec, 'index');
    this.#ulysses = intAttribute(spec, 'ulysses');
    this.#heads = intAttribute(spec, 'heads');
    this.#slot = new Slot(lowering, spec.name, intAttribute(spec, 'slot'), 'fresh');
  }

  get swapsHeads(): boolean {
    return this.#ulysses > 1;
  }

  /** Leaves for each member of a group its heads of every tensor. */
  publish(): void {
    const members = this.#group.map((_, member) => this.#channels(member));
    this.#slot.publish(
      ...members.flatMap((channels) => this.#published.map((part) => headsOf(this.own[part], channels))),
    );
  }

  /** The own heads' of all tokens. */
  gatherKeysAndValues(): Pick<Attended, 'key' | 'value'> {
    const everyone = [...this.#peers.keys()];
    return { key: this.#gather('key', everyone), value: this.#gather('value', everyone) };
  }

  /** The own heads of the group's tokens, and then all heads of the own tokens. */
  attendHeads({ key, value }: Pick<Attended, 'key' | 'value'>): void {
    const { spec } = this.#operation;
    const mixed = new Slot(this.#lowering, spec.name, intAttribute(spec, 'mixed_slot'), 'fresh');
    const query = this.#gather('query', this.#group);
    const heads = (this.#ownChannels.count / (this.own.query.shape[2] as number)) * this.#heads;
    if (heads > 0) {
      const y = denseView('arena', { ...query, name: `${spec.name}/mixed` });
      emitAttention(this.#lowering, spec.name, { query, key, value }, y, { heads, causal: false });
      const parts = this.#group.map((_, member) => {
        const { start, count } = this.#tokensOfMember(member);
        return sliced(y, 1, start, start + count);
      });
      mixed.publish(...parts);
    }
    this.#fetchMixed(mixed);
  }

  /** What is left for others, in this order. */
  get #published(): readonly Part[] {
    return this.swapsHeads ? ['query', 'key', 'value'] : ['key', 'value'];
  }

  get #member(): number {
    return this.#index % this.#ulysses;
  }

  /** Places of the peers that exchange tokens for heads. */
  get #group(): readonly number[] {
    return Array.from({ length: this.#ulysses }, (_, member) => this.#index - this.#member + member);
  }

  get #ownChannels(): Channels {
    return this.#channels(this.#member);
  }

  /** Which channels are a member's heads: the first members have one more where they do not go even. */
  #channels(member: number): Channels {
    const width = (this.own.query.shape[2] as number) / this.#heads;
    const even = Math.floor(this.#heads / this.#ulysses);
    const extra = this.#heads % this.#ulysses;
    return {
      start: width * (member * even + Math.min(member, extra)),
      count: width * (even + (member < extra ? 1 : 0)),
    };
  }

  /** Where a member's tokens are among the group's. */
  #tokensOfMember(member: number): Channels {
    const counts = this.#group.map((peer) => this.#tokens[peer] as number);
    return { start: sum(counts.slice(0, member)), count: counts[member] as number };
  }

  /** The own heads' of these peers' tokens, one peer's after the other. */
  #gather(part: Part, peers: readonly number[]): View {
    const { name } = this.#operation.spec;
    const own = headsOf(this.own[part], this.#ownChannels);
    const total = sum(peers.map((peer) => this.#tokens[peer] as number));
    const whole = denseView('arena', {
      name: `${name}/${part}`,
      dtype: own.dtype,
      shape: own.shape.with(1, total),
    });
    let first = 0;
    for (const peer of peers) {
      const tokens = this.#tokens[peer] as number;
      const y = sliced(whole, 1, first, first + tokens);
      first += tokens;
      this.#slot.take(this.#rank(peer), this.#offset(part, y), y, own);
    }
    return whole;
  }

  #rank(peer: number): number {
    return this.#peers[peer] as number;
  }

  /** Where the own heads of a tensor lie among what a peer of y's tokens left. */
  #offset(part: Part, y: View): number {
    const [batch, tokens] = y.shape as [number, number];
    const before = this.#published.length * this.#ownChannels.start * batch * tokens;
    return itemBytes[y.dtype] * before + this.#published.indexOf(part) * bytesOf(y);
  }

  #fetchMixed(mixed: Slot): void {
    const [result] = this.#operation.outputs as [Value];
    const y = this.#lowering.allocate(result, this.own.query.dtype);
    const before = sliced(y, 1, 0, this.#tokensOfMember(this.#member).start);
    for (const [member, peer] of this.#group.entries()) {
      const heads = this.#channels(member);
      const part = headsOf(y, heads);
      if (elementCount(part.shape) === 0) continue;
      mixed.fetch(this.#rank(peer), bytesOf(headsOf(before, heads)), part);
    }
  }
}

function headsOf(x: View, { start, count }: Channels): View {
  return sliced(x, 2, start, start + count);
}
