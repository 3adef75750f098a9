/** Lines of a table: titles, then rows; columns but those in `left` are aligned on the right. */
export function table(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  left: readonly number[] = [],
): string[] {
  const all = [titles, ...rows];
  const widths = titles.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  return all.map((row) =>
    widths
      .map((width, column) => {
        const cell = row[column] ?? '';
        return left.includes(column) ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd(),
  );
}

const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** Such as "1.5 MB": three digits, decimal prefixes. */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}
