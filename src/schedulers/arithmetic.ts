/** A factor and the array that it multiplies. */
export type Term = readonly [weight: number, values: Float32Array];

/**
 * The sum of the terms, element by element; products and partial sums are rounded to float32 as torch's are.
 */
export function linearCombination(terms: readonly Term[]): Float32Array {
  const sum = new Float32Array(terms[0]?.[1].length ?? 0);
  for (const [index, [weight, values]] of terms.entries()) {
    if (values.length !== sum.length) {
      throw new RangeError(`arrays of ${sum.length} and ${values.length} numbers cannot be added`);
    }
    if (index === 0) multiply(sum, weight, values);
    else addProduct(sum, weight, values);
  }
  return sum;
}

export function quotient(values: Float32Array, divisor: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) result[i] = (values[i] as number) / divisor;
  return result;
}

/** In float32, also of a difference or product that was not rounded yet. */
export function squareRoot(value: number): number {
  return Math.fround(Math.sqrt(Math.fround(value)));
}

/** `original` with `noise`, where the product of all alphas so far is `alpha`. */
export function noisySample(original: Float32Array, noise: Float32Array, alpha: number): Float32Array {
  return linearCombination([
    [squareRoot(alpha), original],
    [squareRoot(1 - alpha), noise],
  ]);
}

/** `(whole - weight * part) / divisor` */
export function remainder(
  whole: Float32Array,
  weight: number,
  part: Float32Array,
  divisor: number,
): Float32Array {
  const rest = linearCombination([
    [1, whole],
    [-weight, part],
  ]);
  return quotient(rest, divisor);
}

export function clamped(values: Float32Array, limit: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    result[i] = Math.min(Math.max(values[i] as number, -limit), limit);
  }
  return result;
}

function multiply(target: Float32Array, weight: number, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) target[i] = weight * (values[i] as number);
}

function addProduct(target: Float32Array, weight: number, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) {
    target[i] = (target[i] as number) + Math.fround(weight * (values[i] as number));
  }
}
