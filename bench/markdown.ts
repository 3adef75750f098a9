export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [markdownLine(head), `|${head.map(() => '---|').join('')}`, ...rows.map(markdownLine)].join('\n');
}

export function markdownLine(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
