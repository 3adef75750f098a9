/** A table as GitHub's Markdown has it. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [markdownLine(head), `|${head.map(() => '---|').join('')}`, ...rows.map(markdownLine)].join('\n');
}

/** One row of it, for tables that appear row by row. */
export function markdownLine(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
