import { intAttribute, intsAttribute, type Operation } from '../../graph/value.js';
import { attend, operandsOf } from './attention.js';
import type { Lowering } from './lowering.js';
import { bytesOf, Slot } from './slot.js';
import { sliced, type View } from './view.js';

/** Tokens that a rank brings. */
interface Part {
  readonly first: number;
  readonly tokens: number;
}

/**
 * Query, key and value `[batch, tokens, features]` of the own part of a band, against those of the whole
 * picture, which are kept from call to call: those of this call take their place before. In an image's first
 * step bands come in order, and what has not come yet takes no part.
 */
export function lowerCachedAttention(lowering: Lowering, operation: Operation): void {
  const { spec } = operation;
  const [slot, ...numbers] = lowering.numbers(spec.inputs[3]) as [number, ...number[]];
  const peers = intsAttribute(spec, 'peers');
  const parts = peers.map((_, peer) => ({ first: numbers[2 * peer], tokens: numbers[2 * peer + 1] }) as Part);
  const total = intAttribute(spec, 'tokens');
  const own = operandsOf(lowering, operation);
  const kept = {
    keys: keep(lowering, `${spec.name}/keys`, own.key, total),
    values: keep(lowering, `${spec.name}/values`, own.value, total),
  };
  const exchange = new Slot(lowering, spec.name, intAttribute(spec, 'slot') + slot, 'fresh');
  if (peers.length > 1) exchange.publish(own.key, own.value);
  for (const [place, peer] of peers.entries()) {
    const part = parts[place] as Part;
    const [keys, values] = [tokensOf(kept.keys, part), tokensOf(kept.values, part)];
    exchange.take(peer, 0, keys, own.key);
    exchange.take(peer, bytesOf(keys), values, own.value);
  }
  const last = parts.at(-1) as Part;
  const known = { first: 0, tokens: lowering.isFirstStep ? last.first + last.tokens : total };
  attend(lowering, operation, {
    query: own.query,
    key: tokensOf(kept.keys, known),
    value: tokensOf(kept.values, known),
  });
}

/** Room for as many tokens as the picture has. */
function keep(lowering: Lowering, name: string, { dtype, shape }: View, tokens: number): View {
  return lowering.memory.view('kept', { name, dtype, shape: shape.with(1, tokens) });
}

function tokensOf(x: View, { first, tokens }: Part): View {
  return sliced(x, 1, first, first + tokens);
}
