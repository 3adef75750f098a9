/** A filter of Pillow's and torch's antialiased resize: its weight at a distance, and the distance beyond which it is 0. */
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

/** For each position of the output: which positions of the input it is made of, and their weights. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** [output position, tap], `width` apart. */
  readonly weights: Float64Array;
  readonly width: number;
}

/** Pillow's `precompute_coeffs`; torch's antialiased kernels have the same. */
function filterTaps(filter: Filter, from: number, to: number): Taps {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  const width = Math.ceil(support) * 2 + 1;
  const taps = {
    first: new Int32Array(to),
    count: new Int32Array(to),
    weights: new Float64Array(to * width),
    width,
  };
  for (let i = 0; i < to; i++) {
    const center = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const count = Math.min(Math.trunc(center + support + 0.5), from) - first;
    const weights = taps.weights.subarray(i * width, i * width + count);
    let sum = 0;
    for (let tap = 0; tap < count; tap++) {
      const weight = filter.weight((tap + first - center + 0.5) / stretch);
      weights[tap] = weight;
      sum += weight;
    }
    for (let tap = 0; tap < count; tap++) weights[tap] = (weights[tap] as number) / sum;
    taps.first[i] = first;
    taps.count[i] = count;
  }
  return taps;
}

type Values = Uint8Array | Float32Array | Float64Array;

/**
 * Resizes the middle axis of `source` [outer, from, inner] into `target` [outer, to, inner].
 * Sums are double; how they are stored is up to `target`.
 */
function resizeAxis<T extends Float32Array | Float64Array>(
  source: Values,
  target: T,
  taps: Taps,
  { outer, from, inner }: { readonly outer: number; readonly from: number; readonly inner: number },
): T {
  const to = taps.first.length;
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < to; i++) {
      const base = (o * from + (taps.first[i] as number)) * inner;
      const count = taps.count[i] as number;
      const weights = i * taps.width;
      for (let k = 0; k < inner; k++) {
        let sum = 0;
        for (let tap = 0; tap < count; tap++) {
          sum += (source[base + tap * inner + k] as number) * (taps.weights[weights + tap] as number);
        }
        target[(o * to + i) * inner + k] = sum;
      }
    }
  }
  return target;
}

/** Sides of an image. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

function resize<T extends Float32Array | Float64Array>(
  pixels: Uint8Array,
  from: Size,
  to: Size,
  filter: Filter,
  allocate: (length: number) => T,
): Values {
  const channels = 3;
  let values: Values = pixels;
  if (from.width !== to.width) {
    const axis = { outer: from.height, from: from.width, inner: channels };
    const target = allocate(from.height * to.width * channels);
    values = resizeAxis(values, target, filterTaps(filter, from.width, to.width), axis);
  }
  if (from.height !== to.height) {
    const axis = { outer: 1, from: from.height, inner: to.width * channels };
    const target = allocate(to.height * to.width * channels);
    values = resizeAxis(values, target, filterTaps(filter, from.height, to.height), axis);
  }
  return values;
}

/**
 * torchvision's `Resize` of a uint8 tensor: bilinear with antialiasing, rounded half to even. `pixels` and the result are [height, width, 3].
 * Sums are double where torch has float32, so a value exactly between two integers may differ by one.
 */
export function resizeBilinear(pixels: Uint8Array, from: Size, to: Size): Uint8Array {
  const values = resize(pixels, from, to, triangle, (length) => new Float64Array(length));
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
 * Pillow's `resize(..., BICUBIC)` of each channel as float32 (mode `F`), then clipped to [0, 255] and not rounded: what clean-fid does
 * in its mode `clean`. `pixels` is [from.height, from.width, 3]; writes [to.height, to.width, 3] to `target`.
 */
export function resizeBicubic(pixels: Uint8Array, from: Size, to: Size, target: Float32Array): void {
  const values = resize(pixels, from, to, cubic, (length) => new Float32Array(length));
  for (let i = 0; i < target.length; i++) target[i] = Math.min(Math.max(values[i] as number, 0), 255);
}
