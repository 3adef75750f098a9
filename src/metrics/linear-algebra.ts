/**
 * The dense linear algebra of a Fréchet distance, on row-major matrices in typed arrays: products over
 * contiguous rows in tiles, Cholesky, bidiagonalisation by reflections and the implicit QL algorithm (Golub
 * and Van Loan, Matrix Computations, 4.2, 5.4 and 8.3). docs/dependencies.md says why no library is used.
 */

type Matrix = Float64Array | Float32Array;

/** Rows of both matrices that a tile of a product is made of. */
const TILE = 4;
/** So much of each row is summed at a time, so that the rows stay in the cache. */
const DEPTH = 512;

/** Sizes of a product [m, n] of [m, k] and the transpose of [n, k]. */
interface ProductSizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** `a` [m, k] times the transpose of `b` [n, k], [m, n]. */
export function multiplyTransposed(a: Matrix, b: Matrix, { m, n, k }: ProductSizes): Float64Array {
  const product = new Float64Array(m * n);
  addProduct(a, b, product, { m, n, k }, () => n);
  return product;
}

/**
 * `a` [n, k] times its own transpose, [n, n]; only the lower triangle and some of what lies beside it is
 * computed.
 */
export function multiplySelf(a: Matrix, n: number, k: number): Float64Array {
  const product = new Float64Array(n * n);
  addProduct(a, a, product, { m: n, n, k }, (row) => Math.min(n, row + TILE));
  return product;
}

/** Adds the product in the first `columns(row)` columns of each row. */
function addProduct(
  a: Matrix,
  b: Matrix,
  product: Float64Array,
  { m, n, k }: ProductSizes,
  columns: (row: number) => number,
): void {
  for (let start = 0; start < k; start += DEPTH) {
    const end = Math.min(k, start + DEPTH);
    for (let row = 0; row < m; row += TILE) {
      const last = columns(row);
      for (let column = 0; column < last; column += TILE) {
        if (row + TILE <= m && column + TILE <= n) {
          addTile(a, b, product, row, column, n, k, start, end);
        } else {
          addEdge(a, b, product, row, column, m, n, k, start, end);
        }
      }
    }
  }
}

/** 16 sums at once, so that each number read takes part in four of them. */
function addTile(
  a: Matrix,
  b: Matrix,
  product: Float64Array,
  row: number,
  column: number,
  n: number,
  k: number,
  start: number,
  end: number,
): void {
  const a0 = row * k;
  const a1 = a0 + k;
  const a2 = a1 + k;
  const a3 = a2 + k;
  const b0 = column * k;
  const b1 = b0 + k;
  const b2 = b1 + k;
  const b3 = b2 + k;
  let s00 = 0;
  let s01 = 0;
  let s02 = 0;
  let s03 = 0;
  let s10 = 0;
  let s11 = 0;
  let s12 = 0;
  let s13 = 0;
  let s20 = 0;
  let s21 = 0;
  let s22 = 0;
  let s23 = 0;
  let s30 = 0;
  let s31 = 0;
  let s32 = 0;
  let s33 = 0;
  for (let p = start; p < end; p++) {
    const x0 = a[a0 + p] as number;
    const x1 = a[a1 + p] as number;
    const x2 = a[a2 + p] as number;
    const x3 = a[a3 + p] as number;
    const y0 = b[b0 + p] as number;
    s00 += x0 * y0;
    s10 += x1 * y0;
    s20 += x2 * y0;
    s30 += x3 * y0;
    const y1 = b[b1 + p] as number;
    s01 += x0 * y1;
    s11 += x1 * y1;
    s21 += x2 * y1;
    s31 += x3 * y1;
    const y2 = b[b2 + p] as number;
    s02 += x0 * y2;
    s12 += x1 * y2;
    s22 += x2 * y2;
    s32 += x3 * y2;
    const y3 = b[b3 + p] as number;
    s03 += x0 * y3;
    s13 += x1 * y3;
    s23 += x2 * y3;
    s33 += x3 * y3;
  }
  const at = row * n + column;
  addRow(product, at, s00, s01, s02, s03);
  addRow(product, at + n, s10, s11, s12, s13);
  addRow(product, at + 2 * n, s20, s21, s22, s23);
  addRow(product, at + 3 * n, s30, s31, s32, s33);
}

function addRow(target: Float64Array, at: number, s0: number, s1: number, s2: number, s3: number): void {
  target[at] = (target[at] as number) + s0;
  target[at + 1] = (target[at + 1] as number) + s1;
  target[at + 2] = (target[at + 2] as number) + s2;
  target[at + 3] = (target[at + 3] as number) + s3;
}

function addEdge(
  a: Matrix,
  b: Matrix,
  product: Float64Array,
  row: number,
  column: number,
  m: number,
  n: number,
  k: number,
  start: number,
  end: number,
): void {
  for (let i = row; i < Math.min(m, row + TILE); i++) {
    for (let j = column; j < Math.min(n, column + TILE); j++) {
      let sum = 0;
      for (let p = start; p < end; p++) sum += (a[i * k + p] as number) * (b[j * k + p] as number);
      product[i * n + j] = (product[i * n + j] as number) + sum;
    }
  }
}

/** The transpose, [n, m], of `matrix` [m, n]. */
export function transpose(matrix: Matrix, m: number, n: number): Float64Array {
  const transposed = new Float64Array(m * n);
  for (let row = 0; row < m; row++) {
    for (let column = 0; column < n; column++)
      transposed[column * m + row] = matrix[row * n + column] as number;
  }
  return transposed;
}

/**
 * Replaces the lower triangle of a positive semi-definite matrix [n, n] by L with L Lᵗ = the matrix, and the
 * rest by zeros. A pivot that is nothing but rounding errors counts as zero, and its column of L is zero.
 */
export function choleskyInPlace(matrix: Float64Array, n: number): void {
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, matrix[i * n + i] as number);
  const negligible = n * Number.EPSILON * largest;
  for (let row = 0; row < n; row++) {
    const at = row * n;
    for (let column = 0; column < row; column++) {
      const pivot = matrix[column * n + column] as number;
      const rest = (matrix[at + column] as number) - dot(matrix, at, matrix, column * n, column);
      matrix[at + column] = pivot > 0 ? rest / pivot : 0;
    }
    const rest = (matrix[at + row] as number) - dot(matrix, at, matrix, at, row);
    matrix[at + row] = rest > negligible ? Math.sqrt(rest) : 0;
    matrix.fill(0, at + row + 1, at + n);
  }
}

function dot(a: Float64Array, atA: number, b: Float64Array, atB: number, count: number): number {
  let even = 0;
  let odd = 0;
  let i = 0;
  for (; i + 1 < count; i += 2) {
    even += (a[atA + i] as number) * (b[atB + i] as number);
    odd += (a[atA + i + 1] as number) * (b[atB + i + 1] as number);
  }
  return i < count ? even + odd + (a[atA + i] as number) * (b[atB + i] as number) : even + odd;
}

/** The sum of the singular values of `matrix` [m, n], which is overwritten when m >= n. */
export function nuclearNorm(matrix: Float64Array, m: number, n: number): number {
  if (m < n) return nuclearNorm(transpose(matrix, m, n), n, m);
  // The symmetric matrix [[0, B], [Bᵗ, 0]] of the bidiagonal B has the eigenvalues ±σ; reordered it is
  // tridiagonal with a zero diagonal.
  const diagonal = new Float64Array(2 * n);
  tridiagonalEigenvalues(diagonal, bidiagonalize(matrix, m, n));
  return diagonal.reduce((sum, value) => sum + Math.abs(value), 0) / 2;
}

/**
 * Householder bidiagonalisation of [m, n], m >= n: the diagonal and what is above it in turns, d0 e0 d1 e1 …,
 * and a 0 at the end.
 */
function bidiagonalize(matrix: Float64Array, m: number, n: number): Float64Array {
  const entries = new Float64Array(2 * n);
  const left = new Float64Array(m);
  const right = new Float64Array(n);
  const products = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    for (let row = k; row < m; row++) left[row] = matrix[row * n + k] as number;
    entries[2 * k] = reflect(left, k);
    if (k === n - 1) break;
    leftProducts(matrix, left, products, k, m, n);
    const rest = n - k - 1;
    subtractMultiple(matrix, k * n + k + 1, left[k] as number, products, k + 1, rest);
    for (let column = k + 1; column < n; column++) right[column] = matrix[k * n + column] as number;
    entries[2 * k + 1] = reflect(right, k + 1);
    for (let row = k + 1; row < m; row++) {
      const at = row * n + k + 1;
      subtractMultiple(matrix, at, left[row] as number, products, k + 1, rest);
      subtractMultiple(matrix, at, dot(matrix, at, right, k + 1, rest), right, k + 1, rest);
    }
  }
  return entries;
}

/**
 * Replaces the entries of `vector` from `first` on by v, such that I - v vᵗ is the reflection that turns them
 * into a multiple of the first unit vector, and returns that multiple.
 */
function reflect(vector: Float64Array, first: number): number {
  let scale = 0;
  for (let i = first; i < vector.length; i++) scale = Math.max(scale, Math.abs(vector[i] as number));
  if (scale === 0) return 0;
  let squares = 0;
  for (let i = first; i < vector.length; i++) squares += ((vector[i] as number) / scale) ** 2;
  const head = vector[first] as number;
  const norm = scale * Math.sqrt(squares);
  const value = head > 0 ? -norm : norm;
  const divisor = Math.sqrt(norm) * Math.sqrt(norm + Math.abs(head));
  vector[first] = head - value;
  for (let i = first; i < vector.length; i++) vector[i] = (vector[i] as number) / divisor;
  return value;
}

/** `products` = vᵗ times the matrix, in the rows from `k` and the columns after `k`. */
function leftProducts(
  matrix: Float64Array,
  v: Float64Array,
  products: Float64Array,
  k: number,
  m: number,
  n: number,
): void {
  products.fill(0, k + 1, n);
  for (let row = k; row < m; row++) {
    const first = row * n + k + 1;
    subtractMultiple(products, k + 1, -(v[row] as number), matrix, first, n - k - 1);
  }
}

/** target[at…] -= factor * values[from…] */
function subtractMultiple(
  target: Float64Array,
  at: number,
  factor: number,
  values: Float64Array,
  from: number,
  count: number,
): void {
  for (let i = 0; i < count; i++) {
    target[at + i] = (target[at + i] as number) - factor * (values[from + i] as number);
  }
}

/**
 * Replaces `diagonal` by the eigenvalues of the symmetric tridiagonal matrix with `beside` off the diagonal
 * (its last entry is not used; it is overwritten): implicit QL with Wilkinson's shift, as EISPACK's `tql1`.
 */
function tridiagonalEigenvalues(diagonal: Float64Array, beside: Float64Array): void {
  const n = diagonal.length;
  const d = (i: number) => diagonal[i] as number;
  const e = (i: number) => beside[i] as number;
  let norm = 0;
  for (let i = 0; i < n; i++) norm = Math.max(norm, Math.abs(d(i)) + Math.abs(e(i)));
  const negligible = Number.EPSILON * norm;
  beside[n - 1] = 0;
  for (let l = 0; l < n; l++) {
    for (let sweeps = 0; ; sweeps++) {
      let m = l;
      while (m < n - 1 && Math.abs(e(m)) > negligible) m++;
      if (m === l) break;
      if (sweeps === 60) throw new Error('the QL algorithm does not converge');
      sweep(diagonal, beside, l, m);
    }
  }
}

/** One implicit QL sweep over the rows from `l` to `m`. */
function sweep(diagonal: Float64Array, beside: Float64Array, l: number, m: number): void {
  const d = (i: number) => diagonal[i] as number;
  const e = (i: number) => beside[i] as number;
  const half = (d(l + 1) - d(l)) / (2 * e(l));
  let g = d(m) - d(l) + e(l) / (half + (half < 0 ? -1 : 1) * Math.hypot(half, 1));
  let s = 1;
  let c = 1;
  let p = 0;
  for (let i = m - 1; i >= l; i--) {
    const f = s * e(i);
    const b = c * e(i);
    const r = Math.sqrt(f * f + g * g);
    beside[i + 1] = r;
    if (r === 0) {
      diagonal[i + 1] = d(i + 1) - p;
      beside[m] = 0;
      return;
    }
    s = f / r;
    c = g / r;
    g = d(i + 1) - p;
    const t = (d(i) - g) * s + 2 * c * b;
    p = s * t;
    diagonal[i + 1] = g + p;
    g = c * t - b;
  }
  diagonal[l] = d(l) - p;
  beside[l] = g;
  beside[m] = 0;
}
