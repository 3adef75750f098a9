import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layOut } from '../../../src/engine/lowered/arena.js';
import type { Command } from '../../../src/engine/lowered/command.js';
import { denseView, type View } from '../../../src/engine/lowered/view.js';
import { TorchGenerator } from '../../../src/tensor/random-torch.js';

const value = (name: string, elements: number, kind: 'arena' | 'input' = 'arena') =>
  denseView(kind, { name, dtype: 'float32', shape: [elements] });
const copy = (x: View, y: View): Command => ({
  op: 'Copy',
  name: y.storage.name,
  operands: { x, y },
  attributes: {},
});

test('memory is used again by who comes later', () => {
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => value(name, 1000)) as [View, View, View, View];
  const { bytes, offsets } = layOut([
    copy(value('given', 1000, 'input'), a),
    copy(a, b),
    copy(b, c),
    copy(c, d),
  ]);
  assert.equal(bytes, 2 * 4032);
  assert.equal(offsets.get(c.storage), offsets.get(a.storage));
  assert.equal(offsets.size, 4);
});

test('storages that live at the same time do not meet, whatever their sizes', () => {
  const random = new TorchGenerator(3n).randn([400]).data;
  const values = Array.from({ length: 100 }, (_, index) =>
    value(`v${index}`, 1 + Math.floor(500 * Math.abs(random[index] as number))),
  );
  const commands = values.slice(1).map((y, index) => {
    const back = Math.floor(Math.abs(random[100 + index] as number) * 8);
    return copy(values[Math.max(0, index - back)] as View, y);
  });
  const { offsets, bytes } = layOut(commands);
  const lives = values.map((view) => {
    const used = commands.flatMap(({ operands }, at) => (Object.values(operands).includes(view) ? [at] : []));
    const start = offsets.get(view.storage) as number;
    return { first: used[0] as number, last: used.at(-1) as number, start, end: start + view.storage.bytes };
  });
  for (const a of lives) {
    assert.ok(a.start % 64 === 0 && a.end <= bytes);
    for (const b of lives) {
      if (a === b || a.first > b.last || b.first > a.last) continue;
      assert.ok(a.end <= b.start || b.end <= a.start, `${JSON.stringify(a)} meets ${JSON.stringify(b)}`);
    }
  }
});

const product = (x: View, residual: View, y: View): Command => ({
  op: 'Product',
  name: y.storage.name,
  operands: { x, residual, y },
  attributes: {},
});

test('a result takes the place of a residual that nobody reads afterwards', () => {
  const [x, residual, y, z] = ['x', 'residual', 'y', 'z'].map((name) => value(name, 1000)) as [
    View,
    View,
    View,
    View,
  ];
  const given = value('given', 1000, 'input');
  const { bytes, offsets } = layOut([
    copy(given, x),
    copy(given, residual),
    product(x, residual, y),
    copy(y, z),
  ]);
  assert.equal(offsets.get(y.storage), offsets.get(residual.storage));
  assert.equal(offsets.get(z.storage), offsets.get(x.storage));
  assert.equal(bytes, 2 * 4032);
});

test('a residual that is read later, multiplied as well or of another size stays where it is', () => {
  const [x, residual, y] = ['x', 'residual', 'y'].map((name) => value(name, 1000)) as [View, View, View];
  const larger = denseView('arena', { name: 'larger', dtype: 'float32', shape: [1001] });
  const part = { ...larger, shape: [1000] };
  const given = value('given', 1000, 'input');
  const begin = [copy(given, x), copy(given, residual)];
  const apart = (commands: readonly Command[], before: View) => {
    const { offsets } = layOut(commands);
    const start = offsets.get(before.storage) as number;
    assert.ok(Math.abs(start - (offsets.get(y.storage) as number)) >= y.storage.bytes);
  };
  apart([...begin, product(x, residual, y), copy(residual, x)], residual);
  apart([...begin, product(residual, residual, y)], residual);
  apart([copy(given, part), ...begin, product(x, part, y)], part);
});
