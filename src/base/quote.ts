import { redact } from './secrets.js';

const MAX_LENGTH = 100;
const MAX_NAMES = 8;

/** What terminals obey, and what makes text stand in another order than it is. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these are to be found
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/**
 * A value out of a file as JSON, on one line and of bearable length: what error messages show of foreign
 * data.
 */
export function quote(value: unknown): string {
  return abbreviate(JSON.stringify(value) ?? 'undefined');
}

/** `text` on one line of at most `most` characters, without secrets, nothing of which a terminal obeys. */
export function abbreviate(text: string, most = MAX_LENGTH): string {
  // Before it is cut, lest half a secret stays.
  const shown = redact(text).replace(CONTROL, escapeCharacter);
  return shown.length > most ? `${shown.slice(0, most - 3)}...` : shown;
}

/** Foreign names: "a, b, c and 12 more". */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMES).map((name) => abbreviate(name));
  const others = names.length - shown.length;
  return others > 0 ? `${shown.join(', ')} and ${others} more` : shown.join(', ');
}

/**
 * A message as it may be printed: lines stay lines, but a terminal obeys nothing in it, and it has no
 * secrets.
 */
export function printable(message: string): string {
  return redact(message).replace(CONTROL, (character) =>
    character === '\n' ? character : escapeCharacter(character),
  );
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
