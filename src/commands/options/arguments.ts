const LONG_OPTION = /^--[A-Za-z][\w-]*(?==|$)/;

/** A command, or the program itself, as far as spelling goes. */
export interface Spelling {
  readonly name: string;
  /** Long options with their dashes. */
  readonly options: readonly string[];
}

/**
 * Gives options and subcommands their canonical spelling: the reference's scripts have underscores in their
 * names, most programs have dashes, and both are accepted; as argparse does, the beginning of an option's
 * name will do where no other option begins so. What follows a lone `--` is left alone.
 */
export function normalizeArguments(
  argv: readonly string[],
  program: Spelling,
  commands: readonly Spelling[],
): string[] {
  const end = argv.indexOf('--');
  const given = end < 0 ? argv : argv.slice(0, end);
  const names = commands.map(({ name }) => name);
  const place = given.findIndex((argument) => names.includes(argument.replaceAll('_', '-')));
  const command = commands.find(({ name }) => name === given[place]?.replaceAll('_', '-'));
  const options = [...program.options, ...(command?.options ?? [])];
  const normalized = given.map((argument, index) =>
    index === place ? argument.replaceAll('_', '-') : normalizeOption(argument, options),
  );
  return [...normalized, ...argv.slice(given.length)];
}

function normalizeOption(argument: string, options: readonly string[]): string {
  return argument.replace(LONG_OPTION, (given) => {
    const name = `--${given.slice(2).replaceAll('-', '_')}`;
    if (options.includes(name)) return name;
    const [only, ...others] = options.filter((option) => option.startsWith(name));
    return only !== undefined && others.length === 0 ? only : name;
  });
}
