import type { DescribedCommand, DescribedOperand } from '../../src/engine/lowered/described.js';
import { activationCodes } from '../../src/engine/lowered/pending.js';
import { elementCount } from '../../src/tensor/tensor.js';

/** Commands of a list that compute a convolution or a linear layer, whatever way they take. */
export interface ProductLayer {
  readonly commands: readonly DescribedCommand[];
  /** In words: a layer of the same title is computed in the same way. */
  readonly title: string;
  /** How often a step has it. */
  readonly count: number;
  readonly shape: ProductShape;
}

/** As native/bench/onednn.h has it. */
export interface ProductShape {
  readonly images: number;
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
  readonly features: number;
  readonly kernel: number;
  readonly stride: number;
  /** Of `activationCodes`. */
  readonly activation: number;
  readonly residual: boolean;
}

/** Multiplications and additions of the layer as it is defined, which fewer may compute. */
export function operationsOf({ images, rows, columns, inner, features, kernel }: ProductShape): number {
  return 2 * images * rows * columns * inner * features * kernel ** 2;
}

/** All layers of products, those first that a step spends most operations on. */
export function heaviestLayers(commands: readonly DescribedCommand[]): readonly ProductLayer[] {
  const layers = new Map<string, ProductLayer>();
  for (const own of productRuns(commands)) {
    const shape = shapeOf(own);
    const title = titleOf(own, shape);
    const known = layers.get(title) ?? { commands: own, title, count: 0, shape };
    layers.set(title, { ...known, count: known.count + 1 });
  }
  const inStep = ({ count, shape }: ProductLayer) => count * operationsOf(shape);
  return [...layers.values()].toSorted((a, b) => inStep(b) - inStep(a));
}

/** Commands that follow each other and are of one layer. */
function productRuns(commands: readonly DescribedCommand[]): readonly (readonly DescribedCommand[])[] {
  const runs: DescribedCommand[][] = [];
  const ofProducts = commands.filter(({ op }) => ['Product', 'SplitColumns', 'JoinColumns'].includes(op));
  for (const command of ofProducts) {
    const last = runs.at(-1);
    if (last?.[0]?.name === command.name) last.push(command);
    else runs.push([command]);
  }
  return runs;
}

function shapeOf(commands: readonly DescribedCommand[]): ProductShape {
  const products = commands.filter(({ op }) => op === 'Product');
  const { operands, attributes } = products[0] as DescribedCommand;
  const inner = operands.x?.shape.at(-1) as number;
  const features = operands.weight?.shape[0] as number;
  const finishing = commands.filter(({ op }) => op === 'JoinColumns');
  const last = (finishing[0] ?? products[0]) as DescribedCommand;
  const [images, rows, columns] = (last.operands.y as DescribedOperand).shape as [number, number, number];
  const common = {
    images,
    inner,
    features,
    activation: last.attributes.activation as number,
    residual: last.operands.residual !== undefined,
  };
  if (finishing.length > 0) {
    const all = finishing.reduce((sum, { operands: { y } }) => sum + (y?.shape[1] as number), 0);
    return { ...common, rows: all, columns, kernel: 3, stride: 1 };
  }
  // Four products for the quarters of a result.
  if (products.length > 1) return { ...common, rows: 2 * rows, columns: 2 * columns, kernel: 3, stride: 1 };
  const distances = attributes.distances as readonly number[];
  const kernel = Math.sqrt(distances.length);
  const stride = kernel === 1 ? 1 : (operands.x?.strides[2] as number) / (distances[1] as number);
  return { ...common, rows, columns, kernel, stride };
}

function titleOf(
  commands: readonly DescribedCommand[],
  { images, rows, columns, inner, features, kernel, stride, activation, residual }: ProductShape,
): string {
  const [{ operands }, second] = commands as [DescribedCommand, DescribedCommand?];
  const last = commands.at(-1) as DescribedCommand;
  const size =
    kernel === 1
      ? `linear ${images * rows * columns}`
      : `conv ${kernel}x${kernel}, ${images} x ${rows}x${columns}`;
  const way = operands.weight === undefined ? 'tiles' : second === undefined ? '' : 'doubled';
  const name = Object.keys(activationCodes)[activation] as string;
  const fused = [
    stride === 1 ? '' : `stride ${stride}`,
    way,
    last.operands.bias ? 'bias' : '',
    last.operands.shift ? 'shift' : '',
    activation === 0 ? '' : name,
    residual ? 'residual' : '',
  ];
  return [size, `${inner}->${features}`, ...fused.filter((word) => word !== '')].join(' ');
}

/** Of all operands: what a layer's buffers have to hold. */
export function extentOf(shape: readonly number[], strides: readonly number[]): number {
  if (elementCount(shape) === 0) return 0;
  return 1 + shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] as number), 0);
}
