import { expected } from '../base/errors.js';

/**
 * Encoders see about the first hundred words. What is longer is a mistake, and must not keep a program busy.
 */
const MAX_CHARACTERS = 100_000;

/** Programs may give anything. */
export function checkPrompt(prompt: unknown): void {
  if (typeof prompt !== 'string') throw expected('a string', 'a prompt', prompt);
  if (prompt.length > MAX_CHARACTERS) {
    throw expected(`at most ${MAX_CHARACTERS} characters`, 'a prompt', prompt);
  }
}
