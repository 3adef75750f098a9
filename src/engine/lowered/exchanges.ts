import { sum } from '../../base/numbers.js';
import { patchStatistics } from '../../graph/kernels/exchanges.js';
import {
  floatAttribute,
  intAttribute,
  intsAttribute,
  type Operation,
  type Value,
} from '../../graph/value.js';
import { attend, operandsOf } from './attention.js';
import { channelsLast, type Lowering } from './lowering.js';
import { type Age, bytesOf, Slot } from './slot.js';
import { denseView, isInnerDense, permuted, sliced, type View } from './view.js';

/** x `[batch, channels, rows, columns]` between a row of each neighbour. */
export function lowerHalo(lowering: Lowering, operation: Operation): void {
  const { spec, outputs } = operation;
  const x = permuted(lowering.view(spec.inputs[0] as Value), channelsLast);
  const bordered = permuted(lowering.allocate(outputs[0] as Value, x.dtype, channelsLast), channelsLast);
  const band = withoutBorder(bordered);
  lowering.emit('Copy', spec.name, { x, y: band });
  exchangeBorder(lowering, operation, bordered, intAttribute(spec, 'slot'));
}

function withoutBorder(image: View): View {
  return sliced(image, 1, 1, (image.shape[1] as number) - 1);
}

/** The first and the last row: those of the neighbours, or zeros where the image ends. */
function exchangeBorder(lowering: Lowering, { spec }: Operation, image: View, slot: number): void {
  const rows = image.shape[1] as number;
  const row = (index: number) => sliced(image, 1, index, index + 1);
  const age = intAttribute(spec, 'fresh') === 1 ? 'fresh' : 'displaced';
  const exchange = new Slot(lowering, spec.name, slot, age);
  const [above, below] = [intAttribute(spec, 'above'), intAttribute(spec, 'below')];
  if (above >= 0 || below >= 0) exchange.publish(row(1), row(rows - 2));
  // A neighbour leaves its first row, then its last.
  if (above >= 0) exchange.fetch(above, bytesOf(row(0)), row(0));
  if (below >= 0) exchange.fetch(below, 0, row(rows - 1));
  const zeros = { top: above < 0 ? 1 : 0, left: 0, bottom: below < 0 ? 1 : 0, right: 0 };
  if (zeros.top + zeros.bottom > 0)
    lowering.emit('ClearFrame', spec.name, { y: withoutBorder(image) }, zeros);
}

/** x `[batch, channels, rows, columns]`, scale, shift. */
export function lowerPatchGroupNorm(lowering: Lowering, operation: Operation): void {
  const x = imageOf(lowering, operation);
  const y = lowering.allocate(operation.outputs[0] as Value, x.dtype, channelsLast);
  normBand(lowering, operation, x, permuted(y, channelsLast));
}

/** The same between a row of each neighbour. */
export function lowerPatchGroupNormHalo(lowering: Lowering, operation: Operation): void {
  const x = imageOf(lowering, operation);
  const y = lowering.allocate(operation.outputs[0] as Value, x.dtype, channelsLast);
  const bordered = permuted(y, channelsLast);
  normBand(lowering, operation, x, withoutBorder(bordered));
  exchangeBorder(lowering, operation, bordered, intAttribute(operation.spec, 'halo_slot'));
}

function imageOf(lowering: Lowering, { spec }: Operation): View {
  const image = permuted(lowering.view(spec.inputs[0] as Value), channelsLast);
  return isInnerDense(image) ? image : lowering.copied(image, spec.name);
}

function normBand(lowering: Lowering, operation: Operation, x: View, y: View): void {
  const { spec } = operation;
  const [image, scale, shift] = spec.inputs as [Value, Value, Value];
  const groups = intAttribute(spec, 'groups');
  const statistics = intAttribute(spec, 'statistics');
  const peers = intsAttribute(spec, 'peers');
  const own = peers[intAttribute(spec, 'index')] as number;
  const others = peers.filter((peer) => peer !== own);
  const [batch, rows] = x.shape as [number, number];
  const ofRows = lowering.rowSums(`${spec.name}/rows`, batch * rows * groups);
  const sums = lowering.exactSums(`${spec.name}/sums`, batch * groups);
  lowering.emit(
    'Statistics',
    spec.name,
    { x, columnSums: lowering.columnSums(image), rows: ofRows, sums },
    { groups },
  );
  const exchange = new Slot(lowering, spec.name, intAttribute(spec, 'slot'), ageOf(statistics));
  if (others.length > 0) exchange.publish(sums);
  const known = lowering.exactSums(`${spec.name}/others`, batch * groups * others.length);
  for (const [index, peer] of others.entries()) {
    const size = sums.shape[0] as number;
    exchange.fetch(peer, 0, sliced(known, 0, index * size, (index + 1) * size));
  }
  const corrected = statistics === patchStatistics.corrected && others.length > 0;
  const before = corrected ? lowering.exactSums(`${spec.name}/before`, batch * groups) : undefined;
  if (before) exchange.fetch(own, 0, before);
  const operands = {
    x,
    scale: lowering.view(scale),
    shift: lowering.view(shift),
    sums,
    others: known,
    before,
    y,
  };
  const silu = intAttribute(spec, 'activation');
  const attributes = {
    groups,
    epsilon: floatAttribute(spec, 'epsilon'),
    silu,
    statistics,
    peers: others.length,
  };
  lowering.emit('BandNorm', spec.name, operands, attributes);
}

function ageOf(statistics: number): Age {
  if (statistics === patchStatistics.fresh) return 'fresh';
  return statistics === patchStatistics.separate ? 'warm_up' : 'displaced';
}

/** Query, key and value `[batch, tokens, features]` of a band, against the tokens of all bands. */
export function lowerPatchAttention(lowering: Lowering, operation: Operation): void {
  const { spec } = operation;
  const { query, key, value } = operandsOf(lowering, operation);
  const tokens = intsAttribute(spec, 'tokens');
  const peers = intsAttribute(spec, 'peers');
  const age = intAttribute(spec, 'fresh') === 1 ? 'fresh' : 'displaced';
  const exchange = new Slot(lowering, spec.name, intAttribute(spec, 'slot'), age);
  exchange.publish(key, value);
  const [batch, , features] = key.shape as [number, number, number];
  const [keys, values] = [key, value].map((part, place) => {
    const name = `${spec.name}/${place === 0 ? 'keys' : 'values'}`;
    const whole = denseView('arena', { name, dtype: part.dtype, shape: [batch, sum(tokens), features] });
    let start = 0;
    for (const [band, count] of tokens.entries()) {
      const y = sliced(whole, 1, start, start + count);
      exchange.take(peers[band] as number, place * bytesOf(y), y, part);
      start += count;
    }
    return whole;
  }) as [View, View];
  attend(lowering, operation, { query, key: keys, value: values });
}

/** The parts of all ranks as one image. */
export function lowerGatherBands(lowering: Lowering, operation: Operation): void {
  const { spec, outputs } = operation;
  const x = permuted(lowering.view(spec.inputs[0] as Value), channelsLast);
  const whole = permuted(lowering.allocate(outputs[0] as Value, x.dtype, channelsLast), channelsLast);
  const list = (name: string) => intsAttribute(spec, name);
  const ranks = list('ranks');
  const exchange = new Slot(lowering, spec.name, intAttribute(spec, 'slot'), 'fresh');
  if (ranks.length > 1) exchange.publish(x);
  for (const [index, peer] of ranks.entries()) {
    const range = (what: string): [number, number] => {
      const start = list(`${what}_start`)[index] as number;
      return [start, start + (list(`${what}_count`)[index] as number)];
    };
    const part = sliced(
      sliced(sliced(whole, 0, ...range('batch')), 1, ...range('row')),
      2,
      ...range('column'),
    );
    exchange.take(peer, 0, part, x);
  }
}
