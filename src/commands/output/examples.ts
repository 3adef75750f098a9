/** What stands at the end of a command's help; `examples` are arguments. */
export function exampleLines(command: string, examples: readonly string[]): string {
  const lines = examples.map((example) => `  ${['distri', command, example].join(' ').trimEnd()}`);
  return ['', 'Examples:', ...lines].join('\n');
}
