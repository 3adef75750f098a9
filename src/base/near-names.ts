/** Comparing more would take seconds. */
const MAX_CANDIDATES = 20_000;

/** The up to `count` candidates that `name` may be a slip for, nearest first. */
export function nearNames(name: string, candidates: Iterable<string>, count = 3): string[] {
  const limit = Math.ceil(name.length / 3);
  return [...candidates]
    .filter((candidate) => Math.abs(candidate.length - name.length) <= limit)
    .slice(0, MAX_CANDIDATES)
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ candidate }) => candidate);
}

/** Levenshtein's distance, one row of the table at a time. */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = at(above, column - 1) + Number(a[row - 1] !== b[column - 1]);
      current.push(Math.min(substitution, at(above, column) + 1, at(current, column - 1) + 1));
    }
    above = current;
  }
  return at(above, b.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
