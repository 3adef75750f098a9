const LONG_OPTION = /^--[A-Za-z][\w-]*(?==|$)/;

/**
 * Gives options and subcommands their canonical spelling: the reference's scripts have underscores in their names, most programs have
 * dashes, and both are accepted. What follows a lone `--` is left alone.
 */
export function normalizeArguments(argv: readonly string[], commands: readonly string[]): string[] {
  const end = argv.indexOf('--');
  const options = end < 0 ? argv : argv.slice(0, end);
  const command = options.findIndex((argument) => commands.includes(argument.replaceAll('_', '-')));
  const normalized = options.map((argument, index) =>
    index === command ? argument.replaceAll('_', '-') : normalizeOption(argument),
  );
  return [...normalized, ...argv.slice(options.length)];
}

function normalizeOption(argument: string): string {
  return argument.replace(LONG_OPTION, (name) => `--${name.slice(2).replaceAll('-', '_')}`);
}
