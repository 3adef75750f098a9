/** Shorter ones occur in any text, and guard nothing. */
const LEAST_LENGTH = 8;

const secrets = new Set<string>();

/** From now on no message shows `value`, whoever it comes from. */
export function keepSecret(value: string): void {
  if (value.length >= LEAST_LENGTH) secrets.add(value);
}

/** `text` without secrets. A server may repeat in its answer what it was sent. */
export function redact(text: string): string {
  let redacted = text;
  for (const secret of secrets) redacted = redacted.replaceAll(secret, '(secret)');
  return redacted;
}
