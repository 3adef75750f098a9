import type { Graph } from '../graph.js';
import { findOperator } from '../operators.js';
import { byteLength, type Operation, type Value } from '../value.js';

/**
 * Bytes of activations at the fullest moment of a step: every result lives from its operation to its last
 * reader, in the order in which the graph was built; what the image's graph hands over stays for all steps.
 * The caller's inputs do not count. An estimate: the engine may order operations otherwise, reuse memory in
 * place, and needs room to work in.
 */
export function peakActivationBytes(graph: Graph): number {
  const operations = graph.operations.filter(({ phase }) => phase === 'step');
  const owners = memoryOwners(operations);
  const endings = lastReaders(operations, owners, graph.results);
  let live = handedOverBytes(operations);
  let peak = live;
  for (const [index, { spec, outputs }] of operations.entries()) {
    if (!isView(spec.op)) live += bytes(outputs);
    peak = Math.max(peak, live);
    live -= bytes(endings.get(index) ?? []);
  }
  return peak;
}

/** By name of each result of a step whose memory it uses: a reshaped value that of its source. */
function memoryOwners(operations: readonly Operation[]): Map<string, Value> {
  const owners = new Map<string, Value>();
  for (const { spec, outputs } of operations) {
    for (const value of outputs) {
      const source = isView(spec.op) ? owners.get(spec.inputs[0]?.name ?? '') : value;
      if (source) owners.set(value.name, source);
    }
  }
  return owners;
}

/**
 * By index of an operation, the values that nobody reads after it; the program's results are read by nobody
 * inside.
 */
function lastReaders(
  operations: readonly Operation[],
  owners: ReadonlyMap<string, Value>,
  results: readonly Value[],
): Map<number, Value[]> {
  const last = new Map<Value, number>();
  for (const [index, { spec }] of operations.entries()) {
    for (const value of spec.inputs) {
      const owner = owners.get(value?.name ?? '');
      if (owner) last.set(owner, index);
    }
  }
  for (const { name } of results) last.delete(owners.get(name) as Value);
  const endings = new Map<number, Value[]>();
  for (const [value, index] of last) endings.set(index, [...(endings.get(index) ?? []), value]);
  return endings;
}

function handedOverBytes(operations: readonly Operation[]): number {
  const operands = operations.flatMap(({ spec }) => spec.inputs.flatMap((value) => value ?? []));
  const handedOver = new Map(
    operands.filter(({ phase }) => phase === 'image').map((value) => [value.name, value]),
  );
  return bytes([...handedOver.values()]);
}

function isView(op: string): boolean {
  return findOperator(op)?.view === true;
}

function bytes(values: readonly Value[]): number {
  return values.reduce((sum, value) => sum + byteLength(value), 0);
}
