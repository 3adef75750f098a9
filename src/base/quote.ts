const MAX_LENGTH = 100;

/** A value out of a file as JSON, on one line and of bearable length: what error messages show of foreign data. */
export function quote(value: unknown): string {
  return abbreviate(JSON.stringify(value) ?? 'undefined');
}

export function abbreviate(text: string, most = MAX_LENGTH): string {
  return text.length > most ? `${text.slice(0, most - 3)}...` : text;
}
