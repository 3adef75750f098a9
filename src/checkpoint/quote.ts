const MAX_LENGTH = 100;

/** A value out of a file as JSON, on one line and of bearable length: what error messages show of foreign data. */
export function quote(value: unknown): string {
  return abbreviate(JSON.stringify(value) ?? 'undefined');
}

export function abbreviate(text: string): string {
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH - 3)}...` : text;
}
