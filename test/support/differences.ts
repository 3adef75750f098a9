import assert from 'node:assert/strict';

/** The largest absolute difference; numbers that are not finite must be the same in both. */
export function worstDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length, 'lengths differ');
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const a = actual[i] as number;
    const b = expected[i] as number;
    if (Object.is(a, b)) continue;
    assert.ok(Number.isFinite(a) && Number.isFinite(b), `element ${i} is ${a}, expected ${b}`);
    worst = Math.max(worst, Math.abs(a - b));
  }
  return worst;
}

/** The largest absolute difference divided by the largest magnitude that is expected. */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i] as number));
  const worst = worstDifference(actual, expected);
  return worst === 0 ? 0 : worst / largest;
}
