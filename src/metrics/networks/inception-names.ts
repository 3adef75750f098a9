import type { Shape } from '../../tensor/tensor.js';
import { convolutionShapes, optionalPart } from './inception.js';
import { type ConvSpec, inceptionConvolutions } from './inception-layers.js';

/** Stored names, by torchvision's. */
type NameMap = ReadonlyMap<string, string>;

/**
 * What the batch norm's parts are called: by torchvision below a module `bn`, by the TorchScript archive
 * beside the weight.
 */
const partNames: Readonly<Record<string, readonly string[]>> = {
  'conv.weight': ['weight'],
  'bn.bias': ['bn.bias', 'beta'],
  'bn.running_mean': ['bn.running_mean', 'mean'],
  'bn.running_var': ['bn.running_var', 'var'],
  'bn.weight': ['bn.weight', 'gamma'],
};

/** The names that NVIDIA's `inception-2015-12-05.pt` has within a block, by torchvision's. */
const blockA = {
  branch1x1: 'conv',
  branch5x5_1: 'tower.conv',
  branch5x5_2: 'tower.conv_1',
  branch3x3dbl_1: 'tower_1.conv',
  branch3x3dbl_2: 'tower_1.conv_1',
  branch3x3dbl_3: 'tower_1.conv_2',
  branch_pool: 'tower_2.conv',
};
const blockB = {
  branch3x3: 'conv',
  branch3x3dbl_1: 'tower.conv',
  branch3x3dbl_2: 'tower.conv_1',
  branch3x3dbl_3: 'tower.conv_2',
};
const blockC = {
  branch1x1: 'conv',
  branch7x7_1: 'tower.conv',
  branch7x7_2: 'tower.conv_1',
  branch7x7_3: 'tower.conv_2',
  branch7x7dbl_1: 'tower_1.conv',
  branch7x7dbl_2: 'tower_1.conv_1',
  branch7x7dbl_3: 'tower_1.conv_2',
  branch7x7dbl_4: 'tower_1.conv_3',
  branch7x7dbl_5: 'tower_1.conv_4',
  branch_pool: 'tower_2.conv',
};
const blockD = {
  branch3x3_1: 'tower.conv',
  branch3x3_2: 'tower.conv_1',
  branch7x7x3_1: 'tower_1.conv',
  branch7x7x3_2: 'tower_1.conv_1',
  branch7x7x3_3: 'tower_1.conv_2',
  branch7x7x3_4: 'tower_1.conv_3',
};
const blockE = {
  branch1x1: 'conv',
  branch3x3_1: 'tower_conv',
  branch3x3_2a: 'tower_mixed_conv',
  branch3x3_2b: 'tower_mixed_conv_1',
  branch3x3dbl_1: 'tower_1_conv',
  branch3x3dbl_2: 'tower_1_conv_1',
  branch3x3dbl_3a: 'tower_1_mixed_conv',
  branch3x3dbl_3b: 'tower_1_mixed_conv_1',
  branch_pool: 'tower_2_conv',
};

const stem = ['Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3', 'Conv2d_3b_1x1', 'Conv2d_4a_3x3'];

const blocks: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['Mixed_5b', blockA],
  ['Mixed_5c', blockA],
  ['Mixed_5d', blockA],
  ['Mixed_6a', blockB],
  ['Mixed_6b', blockC],
  ['Mixed_6c', blockC],
  ['Mixed_6d', blockC],
  ['Mixed_6e', blockC],
  ['Mixed_7a', blockD],
  ['Mixed_7b', blockE],
  ['Mixed_7c', blockE],
];

const numbered = (name: string, index: number) => (index === 0 ? name : `${name}_${index}`);

const torchScriptNames: NameMap = new Map([
  ...stem.map((name, index) => [name, `layers.${numbered('conv', index)}`] as const),
  ...blocks.flatMap(([block, branches], index) =>
    Object.entries(branches).map(
      ([branch, name]) => [`${block}.${branch}`, `layers.${numbered('mixed', index)}.${name}`] as const,
    ),
  ),
]);

/**
 * Where a file with tensors of these shapes, in the file's order, has the parts of Inception: under
 * torchvision's names, those of NVIDIA's TorchScript archive, or any others when its convolutions come in
 * torchvision's order and shapes. Undefined when it does not have them.
 */
export function inceptionNames(stored: ReadonlyMap<string, Shape>): NameMap | undefined {
  const specs = inceptionConvolutions();
  const byName = (prefix: (spec: ConvSpec) => string) => specs.map((spec) => `${prefix(spec)}.weight`);
  const ways = [
    byName(({ name }) => `${name}.conv`),
    byName(({ name }) => torchScriptNames.get(name) as string),
    [...stored].flatMap(([name, shape]) => (shape.length === 4 && name.endsWith('.weight') ? [name] : [])),
  ];
  for (const weights of ways) {
    const names = allParts(specs, weights, stored);
    if (names) return names;
  }
  return undefined;
}

/**
 * The names of all parts of the convolutions whose weights are called `weights`; undefined when something is
 * missing or has another shape.
 */
function allParts(
  specs: readonly ConvSpec[],
  weights: readonly string[],
  stored: ReadonlyMap<string, Shape>,
): NameMap | undefined {
  if (weights.length !== specs.length) return undefined;
  const names = new Map<string, string>();
  for (const [index, spec] of specs.entries()) {
    for (const [part, shape] of convolutionShapes(spec)) {
      const name = partName(part, weights[index] as string, stored);
      if (name !== undefined && sameShape(stored.get(name), shape)) names.set(`${spec.name}.${part}`, name);
      else if (name !== undefined || part !== optionalPart) return undefined;
    }
  }
  return names;
}

function partName(part: string, weight: string, stored: ReadonlyMap<string, Shape>): string | undefined {
  const module = weight.slice(0, -'.weight'.length);
  const around = module.replace(/(?:^|\.)conv$/, '');
  const candidates = (partNames[part] ?? []).flatMap((name) => [`${module}.${name}`, `${around}.${name}`]);
  return candidates.find((name) => stored.has(name));
}

function sameShape(stored: Shape | undefined, shape: Shape): boolean {
  return stored?.length === shape.length && shape.every((dim, axis) => dim === stored[axis]);
}
