/**
 * What stands at the end of a command's help; `examples` are arguments. Without a command they name their
 * own.
 */
export function exampleLines(command: string, examples: readonly string[]): string {
  const lines = examples.map(
    (example) => `  ${['distri', command, example].filter((part) => part !== '').join(' ')}`,
  );
  return ['', 'Examples:', ...lines].join('\n');
}
