import { camelCase, flagName, type OptionSpec } from '../../base/option-spec.js';

/**
 * What a command's options say for these specs, by their names in camel case; what was not given is left out.
 */
export function givenValues(
  specs: readonly OptionSpec[],
  options: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    specs.flatMap((spec) => {
      const given = options[flagName(spec)];
      if (given === undefined) return [];
      return [[camelCase(spec.name), flagName(spec) === spec.name ? given : false]];
    }),
  );
}
