import { sum } from '../../base/numbers.js';
import type { Shape } from '../../tensor/tensor.js';

/** A convolution with batch norm and ReLU. */
export interface ConvSpec {
  /** torchvision's path, such as `Mixed_5b.branch1x1`. */
  readonly name: string;
  /** [out, in, rows, columns] */
  readonly weight: Shape;
  readonly stride: number;
  /** Rows and columns of zeros on both sides. */
  readonly padding: readonly [number, number];
}

/** Something with channels. */
export interface Channels {
  readonly channels: number;
}

/** What the network is made of; T is a value [batch, channels, rows, columns]. */
export interface InceptionLayers<T extends Channels> {
  conv(x: T, spec: ConvSpec): T;
  /** 3x3, stride 2, no padding. */
  maxPoolHalving(x: T, name: string): T;
  /** 3x3, stride 1, padding 1. */
  maxPool(x: T, name: string): T;
  /** 3x3, stride 1, padding 1, the mean of the real pixels. */
  averagePool(x: T, name: string): T;
  concat(parts: readonly T[], name: string): T;
}

type Size = readonly [number, number];

const square = (side: number): Size => [side, side];

/**
 * Inception-v3 as FID has it, from normalised pixels to the 2048 channels of Mixed_7c: torchvision's blocks
 * with the differences of pytorch-fid (average pools that leave out the padding, a max pool in Mixed_7c).
 * Convolutions come in torchvision's order.
 */
export function inception<T extends Channels>(layers: InceptionLayers<T>, pixels: T): T {
  return new Inception(layers).run(pixels);
}

/** The specs of all convolutions in torchvision's order. */
export function inceptionConvolutions(): ConvSpec[] {
  const specs: ConvSpec[] = [];
  const same = <T>(x: T) => x;
  inception<Channels>(
    {
      conv: (_, spec) => {
        specs.push(spec);
        return { channels: spec.weight[0] as number };
      },
      maxPoolHalving: same,
      maxPool: same,
      averagePool: same,
      concat: (parts) => ({ channels: sum(parts.map(({ channels }) => channels)) }),
    },
    { channels: 3 },
  );
  return specs;
}

class Inception<T extends Channels> {
  constructor(private readonly layers: InceptionLayers<T>) {}

  run(pixels: T): T {
    let x = this.conv(pixels, 'Conv2d_1a_3x3', 32, square(3), { stride: 2 });
    x = this.conv(x, 'Conv2d_2a_3x3', 32, square(3));
    x = this.conv(x, 'Conv2d_2b_3x3', 64, square(3), { padding: square(1) });
    x = this.layers.maxPoolHalving(x, 'maxpool1');
    x = this.conv(x, 'Conv2d_3b_1x1', 80, square(1));
    x = this.conv(x, 'Conv2d_4a_3x3', 192, square(3));
    x = this.layers.maxPoolHalving(x, 'maxpool2');
    x = this.blockA(x, 'Mixed_5b', 32);
    x = this.blockA(x, 'Mixed_5c', 64);
    x = this.blockA(x, 'Mixed_5d', 64);
    x = this.blockB(x, 'Mixed_6a');
    x = this.blockC(x, 'Mixed_6b', 128);
    x = this.blockC(x, 'Mixed_6c', 160);
    x = this.blockC(x, 'Mixed_6d', 160);
    x = this.blockC(x, 'Mixed_6e', 192);
    x = this.blockD(x, 'Mixed_7a');
    x = this.blockE(x, 'Mixed_7b', (y, name) => this.layers.averagePool(y, name));
    return this.blockE(x, 'Mixed_7c', (y, name) => this.layers.maxPool(y, name));
  }

  private conv(
    x: T,
    name: string,
    out: number,
    [rows, columns]: Size,
    { stride = 1, padding = [0, 0] }: { readonly stride?: number; readonly padding?: Size } = {},
  ): T {
    return this.layers.conv(x, { name, weight: [out, x.channels, rows, columns], stride, padding });
  }

  /** A convolution that keeps the size: padded by half its kernel. */
  private same(x: T, name: string, out: number, kernel: Size): T {
    return this.conv(x, name, out, kernel, { padding: [(kernel[0] - 1) / 2, (kernel[1] - 1) / 2] });
  }

  private pooled(x: T, name: string, out: number): T {
    return this.conv(this.layers.averagePool(x, `${name}.pool`), `${name}.branch_pool`, out, square(1));
  }

  private blockA(x: T, name: string, poolFeatures: number): T {
    const one = this.conv(x, `${name}.branch1x1`, 64, square(1));
    const five = this.conv(x, `${name}.branch5x5_1`, 48, square(1));
    const five2 = this.same(five, `${name}.branch5x5_2`, 64, square(5));
    const three = this.conv(x, `${name}.branch3x3dbl_1`, 64, square(1));
    const three2 = this.same(three, `${name}.branch3x3dbl_2`, 96, square(3));
    const three3 = this.same(three2, `${name}.branch3x3dbl_3`, 96, square(3));
    return this.layers.concat([one, five2, three3, this.pooled(x, name, poolFeatures)], name);
  }

  private blockB(x: T, name: string): T {
    const three = this.conv(x, `${name}.branch3x3`, 384, square(3), { stride: 2 });
    const double = this.conv(x, `${name}.branch3x3dbl_1`, 64, square(1));
    const double2 = this.same(double, `${name}.branch3x3dbl_2`, 96, square(3));
    const double3 = this.conv(double2, `${name}.branch3x3dbl_3`, 96, square(3), { stride: 2 });
    return this.layers.concat([three, double3, this.layers.maxPoolHalving(x, `${name}.pool`)], name);
  }

  private blockC(x: T, name: string, inner: number): T {
    const one = this.conv(x, `${name}.branch1x1`, 192, square(1));
    let seven = this.conv(x, `${name}.branch7x7_1`, inner, square(1));
    seven = this.same(seven, `${name}.branch7x7_2`, inner, [1, 7]);
    seven = this.same(seven, `${name}.branch7x7_3`, 192, [7, 1]);
    let double = this.conv(x, `${name}.branch7x7dbl_1`, inner, square(1));
    double = this.same(double, `${name}.branch7x7dbl_2`, inner, [7, 1]);
    double = this.same(double, `${name}.branch7x7dbl_3`, inner, [1, 7]);
    double = this.same(double, `${name}.branch7x7dbl_4`, inner, [7, 1]);
    double = this.same(double, `${name}.branch7x7dbl_5`, 192, [1, 7]);
    return this.layers.concat([one, seven, double, this.pooled(x, name, 192)], name);
  }

  private blockD(x: T, name: string): T {
    const three = this.conv(x, `${name}.branch3x3_1`, 192, square(1));
    const three2 = this.conv(three, `${name}.branch3x3_2`, 320, square(3), { stride: 2 });
    let seven = this.conv(x, `${name}.branch7x7x3_1`, 192, square(1));
    seven = this.same(seven, `${name}.branch7x7x3_2`, 192, [1, 7]);
    seven = this.same(seven, `${name}.branch7x7x3_3`, 192, [7, 1]);
    seven = this.conv(seven, `${name}.branch7x7x3_4`, 192, square(3), { stride: 2 });
    return this.layers.concat([three2, seven, this.layers.maxPoolHalving(x, `${name}.pool`)], name);
  }

  private blockE(x: T, name: string, pool: (x: T, name: string) => T): T {
    const one = this.conv(x, `${name}.branch1x1`, 320, square(1));
    const three = this.conv(x, `${name}.branch3x3_1`, 384, square(1));
    const three2a = this.same(three, `${name}.branch3x3_2a`, 384, [1, 3]);
    const three2b = this.same(three, `${name}.branch3x3_2b`, 384, [3, 1]);
    const double = this.conv(x, `${name}.branch3x3dbl_1`, 448, square(1));
    const double2 = this.same(double, `${name}.branch3x3dbl_2`, 384, square(3));
    const double3a = this.same(double2, `${name}.branch3x3dbl_3a`, 384, [1, 3]);
    const double3b = this.same(double2, `${name}.branch3x3dbl_3b`, 384, [3, 1]);
    const pooled = this.conv(pool(x, `${name}.pool`), `${name}.branch_pool`, 192, square(1));
    return this.layers.concat([one, three2a, three2b, double3a, double3b, pooled], name);
  }
}
