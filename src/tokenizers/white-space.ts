/**
 * What Python's str.strip takes for white space; JavaScript's trim takes U+FEFF as well, but not U+001C to
 * U+001F and U+0085.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are white space to Python
const SPACE = /[\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/** Python's str.lstrip. */
export function stripStart(text: string): string {
  let start = 0;
  while (start < text.length && SPACE.test(text[start] as string)) start++;
  return text.slice(start);
}

/** Python's str.rstrip. */
export function stripEnd(text: string): string {
  return withoutEnd(text, (character) => SPACE.test(character));
}

/** Python's str.strip. */
export function strip(text: string): string {
  return stripEnd(stripStart(text));
}

/** Looked at from the end: a pattern for the end of a text is tried at every place of it. */
export function withoutEnd(text: string, isDropped: (character: string) => boolean): string {
  let end = text.length;
  while (end > 0 && isDropped(text[end - 1] as string)) end--;
  return text.slice(0, end);
}
