import type { PictureSize } from '../base/sizes.js';

/**
 * A filter of Pillow's and torch's antialiased resize: its weight at a distance, and the distance beyond
 * which it is 0.
 */
interface Filter {
  readonly support: number;
  weight(distance: number): number;
}

const triangle: Filter = {
  support: 1,
  weight: (distance) => Math.max(0, 1 - Math.abs(distance)),
};

/** Keys' cubic with a = -0.5, as Pillow has it. */
const cubic: Filter = {
  support: 2,
  weight: (distance) => {
    const a = -0.5;
    const x = Math.abs(distance);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
  },
};

type Round = (value: number) => number;

/** The source's values from `at` on, `step` apart, times the weights from `first` on. */
type WeightedSum = (
  source: Values,
  at: number,
  step: number,
  weights: Float64Array,
  first: number,
  count: number,
) => number;

/** How filters and sums are rounded. Pillow computes them in double precision, torch in single. */
interface Arithmetic {
  readonly round: Round;
  readonly sum: WeightedSum;
}

const double: Arithmetic = {
  round: (value) => value,
  sum: (source, at, step, weights, first, count) => {
    let sum = 0;
    for (let tap = 0; tap < count; tap++) {
      sum += (source[at + tap * step] as number) * (weights[first + tap] as number);
    }
    return sum;
  },
};

const single: Arithmetic = {
  round: Math.fround,
  sum: (source, at, step, weights, first, count) => {
    let sum = 0;
    for (let tap = 0; tap < count; tap++) {
      // Rounded once, as by the fused multiply-add of torch's kernels.
      sum = Math.fround(sum + (source[at + tap * step] as number) * (weights[first + tap] as number));
    }
    return sum;
  },
};

/** For each position of the output: which positions of the input it is made of, and their weights. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** [output position, tap], `width` apart. */
  readonly weights: Float64Array;
  readonly width: number;
}

/** Pillow's `precompute_coeffs`; torch's antialiased kernels have the same steps. */
function filterTaps(filter: Filter, from: number, to: number, round: Round): Taps {
  const scale = round(from / to);
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  const inverse = round(1 / stretch);
  const width = Math.ceil(support) * 2 + 1;
  const taps = {
    first: new Int32Array(to),
    count: new Int32Array(to),
    weights: new Float64Array(to * width),
    width,
  };
  for (let i = 0; i < to; i++) {
    const center = round((i + 0.5) * scale);
    const first = Math.max(Math.trunc(round(round(center - support) + 0.5)), 0);
    const count = Math.min(Math.trunc(round(round(center + support) + 0.5)), from) - first;
    const weights = taps.weights.subarray(i * width, i * width + count);
    let sum = 0;
    for (let tap = 0; tap < count; tap++) {
      const distance = round(round(round(tap + first - center) + 0.5) * inverse);
      const weight = round(filter.weight(distance));
      weights[tap] = weight;
      sum = round(sum + weight);
    }
    for (let tap = 0; tap < count; tap++) weights[tap] = round((weights[tap] as number) / sum);
    taps.first[i] = first;
    taps.count[i] = count;
  }
  return taps;
}

type Values = Uint8Array | Float32Array;

/** Resizes the middle axis of `source` [outer, from, inner] into the result [outer, to, inner]. */
function resizeAxis(
  source: Values,
  taps: Taps,
  sum: WeightedSum,
  { outer, from, inner }: { readonly outer: number; readonly from: number; readonly inner: number },
): Float32Array {
  const to = taps.first.length;
  const target = new Float32Array(outer * to * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < to; i++) {
      const base = (o * from + (taps.first[i] as number)) * inner;
      const count = taps.count[i] as number;
      const weights = i * taps.width;
      for (let k = 0; k < inner; k++) {
        target[(o * to + i) * inner + k] = sum(source, base + k, inner, taps.weights, weights, count);
      }
    }
  }
  return target;
}

function resize(
  pixels: Uint8Array,
  from: PictureSize,
  to: PictureSize,
  filter: Filter,
  arithmetic: Arithmetic,
): Values {
  const channels = 3;
  const { round, sum } = arithmetic;
  let values: Values = pixels;
  if (from.width !== to.width) {
    const taps = filterTaps(filter, from.width, to.width, round);
    values = resizeAxis(values, taps, sum, { outer: from.height, from: from.width, inner: channels });
  }
  if (from.height !== to.height) {
    const taps = filterTaps(filter, from.height, to.height, round);
    values = resizeAxis(values, taps, sum, { outer: 1, from: from.height, inner: to.width * channels });
  }
  return values;
}

/**
 * torchvision's `Resize` of a uint8 tensor: bilinear with antialiasing, rounded half to even. `pixels` and
 * the result are [height, width, 3]. All steps are in float32 as in torch's kernels for processors with AVX2,
 * so that the result is theirs to the bit.
 */
export function resizeBilinear(pixels: Uint8Array, from: PictureSize, to: PictureSize): Uint8Array {
  const values = resize(pixels, from, to, triangle, single);
  if (values instanceof Uint8Array) return values;
  const rounded = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) rounded[i] = roundHalfToEven(values[i] as number);
  return rounded;
}

function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest === 0.5) return below + (below % 2);
  return rest > 0.5 ? below + 1 : below;
}

/**
 * Pillow's `resize(..., BICUBIC)` of each channel as float32 (mode `F`), then clipped to [0, 255] and not
 * rounded: what clean-fid does in its mode `clean`. `pixels` is [from.height, from.width, 3]; writes
 * [to.height, to.width, 3] to `target`.
 */
export function resizeBicubic(
  pixels: Uint8Array,
  from: PictureSize,
  to: PictureSize,
  target: Float32Array,
): void {
  const values = resize(pixels, from, to, cubic, double);
  for (let i = 0; i < target.length; i++) target[i] = Math.min(Math.max(values[i] as number, 0), 255);
}
