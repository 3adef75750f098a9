/** What Python's str.strip takes for white space; JavaScript's trim takes U+FEFF as well, but not U+001C to U+001F and U+0085. */
const SPACE =
  '[\\t-\\r\\u001c-\\u0020\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+';
const leading = new RegExp(`^${SPACE}`);
const trailing = new RegExp(`${SPACE}$`);

/** Python's str.lstrip. */
export function stripStart(text: string): string {
  return text.replace(leading, '');
}

/** Python's str.rstrip. */
export function stripEnd(text: string): string {
  return text.replace(trailing, '');
}

/** Python's str.strip. */
export function strip(text: string): string {
  return stripEnd(stripStart(text));
}
