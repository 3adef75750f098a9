import { Option } from 'commander';
import { defaultText, flagName, type OptionSpec, type OptionType } from '../../base/option-spec.js';
import { integer, number, oneOf, repeated } from './parsers.js';

export type ParserOf<T> = (option: string) => (text: string) => T;

export function atLeast(least: number, most?: number): ParserOf<number> {
  return (option) => integer(option, least, most);
}

export function value<T>(flags: string, description: string, parser: ParserOf<T>): Option {
  const option = new Option(flags, description);
  return option.argParser(parser(nameOf(option)));
}

/** May be given several times, or with several values. */
export function list<T>(flags: string, description: string, parser: ParserOf<T>): Option {
  const option = new Option(flags, description);
  return option.argParser(repeated(parser(nameOf(option))));
}

export function withDefault<T>(flags: string, description: string, initial: T, parser: ParserOf<T>): Option {
  return value(flags, description, parser).default(initial, String(initial));
}

export function choice<T extends string>(
  flags: string,
  description: string,
  values: readonly T[],
  initial: T,
): Option {
  return withDefault(flags, `${description}: ${values.join(', ')}`, initial, (option) =>
    oneOf(option, values),
  );
}

export function flag(flags: string, description: string): Option {
  return new Option(flags, description);
}

/** What stands behind the name of an option of each type. */
const placeholders: Readonly<Record<OptionType['type'], string>> = {
  flag: '',
  integer: ' <n>',
  integers: ' <counts...>',
  number: ' <number>',
  choice: ' <name>',
  texts: ' <text>',
};

/**
 * The option of the command line that a spec becomes. It has no default here: what was not given is for its
 * owner to say.
 */
export function optionOf(spec: OptionSpec): Option {
  const { takes } = spec;
  const off = flagName(spec) !== spec.name;
  const text = off && spec.textOff !== undefined ? spec.textOff : spec.text;
  const values = takes.type === 'choice' ? `: ${takes.values.join(', ')}` : '';
  const ending = off ? '' : defaultText(spec);
  const option = new Option(`--${flagName(spec)}${placeholders[takes.type]}`, `${text}${values}${ending}`);
  switch (takes.type) {
    case 'flag':
      return option;
    case 'integer':
      return option.argParser(integer(nameOf(option), takes.least));
    case 'integers':
      return option.argParser(repeated(integer(nameOf(option), takes.least)));
    case 'number':
      return option.argParser(number(nameOf(option), takes.least, takes.most));
    case 'choice':
      return option.argParser(oneOf(nameOf(option), takes.values));
    case 'texts':
      return option.argParser(repeated((given) => given));
  }
}

function nameOf(option: Option): string {
  return option.long ?? option.flags;
}
