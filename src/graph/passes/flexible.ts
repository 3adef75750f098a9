import { int64, type Shape, type Tensor } from '../../tensor/tensor.js';
import type { Graph, Program } from '../graph.js';
import type { Value } from '../value.js';

/**
 * Makes one program of graphs that have the same operations on values of different sizes. Dimensions that
 * differ are left open; a Reshape to sizes of which one differs finds that one itself; other constants that
 * differ become inputs of the step. What is computed once per image must be the same. Weights are loaded, and
 * packed, once. Variants of the step are in the order of the graphs.
 */
export function compileFlexible(graphs: readonly Graph[]): Program {
  const [first] = graphs;
  if (!first) throw new Error('there is no graph to compile');
  for (const graph of graphs) checkSameStructure(first, graph);
  const reshapes = reshapeTargets(first);
  const dims = new Map<string, readonly (number | string)[]>();
  const replaced = new Map<string, Tensor>();
  const given = new Set<string>();
  for (const value of first.values) {
    const open = openDims(graphs.map((graph) => (graph.value(value.name) as Value).shape));
    if (open) dims.set(value.name, open);
    const constants = graphs.map((graph) => graph.constants.get(value.name));
    if (open === undefined && constants.every((tensor) => sameTensor(tensor, constants[0]))) continue;
    if (constants[0] === undefined) continue;
    const target = reshapes.has(value.name) ? inferredTarget(constants as Tensor[]) : undefined;
    if (target) replaced.set(value.name, target);
    else given.add(value.name);
  }
  const variants = graphs.map((graph) => ({
    part: graph.program().step,
    given: Object.fromEntries([...given].map((name) => [name, graph.constants.get(name) as Tensor])),
  }));
  const { image, step } = openProgram(first, { dims, replaced, given });
  return { image, step: { ...step, variants } };
}

/** What differs between the graphs of a flexible program. */
interface Differences {
  /**
   * Dimensions of values by name, with a word where sizes differ. Values that are not named are as they are.
   */
  readonly dims: ReadonlyMap<string, readonly (number | string)[]>;
  /** What takes the place of constants. */
  readonly replaced: ReadonlyMap<string, Tensor>;
  /** Constants that the caller of a step gives. */
  readonly given: ReadonlySet<string>;
}

function openProgram(graph: Graph, { dims, replaced, given }: Differences): Program {
  const { image, step } = graph.program();
  const initializers = new Map(step.initializers);
  for (const name of given) initializers.delete(name);
  for (const [name, tensor] of replaced) {
    const known = initializers.get(name);
    if (known) initializers.set(name, { ...known, content: { kind: 'constant', tensor } });
  }
  const inputs = [...step.inputs, ...[...given].map((name) => graph.value(name) as Value)];
  return { image, step: { ...step, inputs, initializers, openDims: dims } };
}

function checkSameStructure(first: Graph, other: Graph): void {
  const describe = (graph: Graph) =>
    JSON.stringify(
      graph.operations.map(({ spec, outputs, phase }) => [
        spec.op,
        spec.attributes,
        spec.inputs.map((value) => value?.name),
        outputs.map(({ name, shape }) => [name, phase === 'step' ? undefined : shape]),
      ]),
    );
  if (describe(first) !== describe(other)) throw new Error('the graphs differ in more than sizes');
}

/**
 * Shapes as one, with a word for each dimension that differs: the same word where the sizes are the same.
 * Undefined where none does.
 */
function openDims(shapes: readonly Shape[]): readonly (number | string)[] | undefined {
  const [first] = shapes as [Shape];
  const dims = first.map((size, axis) => {
    const sizes = shapes.map((shape) => shape[axis] as number);
    return sizes.every((other) => other === size) ? size : `sizes_${sizes.join('_')}`;
  });
  return dims.some((dim) => typeof dim === 'string') ? dims : undefined;
}

/** Constants that say the shape of a Reshape, and nothing else. */
function reshapeTargets(graph: Graph): ReadonlySet<string> {
  const targets = new Set<string>();
  const others = new Set<string>();
  for (const { spec } of graph.operations) {
    for (const [index, value] of spec.inputs.entries()) {
      if (value) (spec.op === 'Reshape' && index === 1 ? targets : others).add(value.name);
    }
  }
  return new Set([...targets].filter((name) => !others.has(name)));
}

/** Targets as one, with -1 for the size that differs; undefined where more than one does. */
function inferredTarget(targets: readonly Tensor[]): Tensor | undefined {
  const [first] = targets as [Tensor<'int64'>];
  const differing = Array.from(first.data.keys()).filter((index) =>
    targets.some(({ data }) => data[index] !== first.data[index]),
  );
  const [place] = differing;
  if (differing.length !== 1 || place === undefined) return undefined;
  return int64(first.shape, first.data.with(place, -1n));
}

function sameTensor(a: Tensor | undefined, b: Tensor | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.data.length === b.data.length && a.data.every((value, index) => value === b.data[index]);
}
