import { expected } from '../base/errors.js';

/**
 * Encoders see about the first hundred words. What is longer is a mistake, and must not keep a program busy.
 */
const MAX_CHARACTERS = 100_000;

export function checkPromptLength(prompt: string): void {
  if (prompt.length > MAX_CHARACTERS) {
    throw expected(`at most ${MAX_CHARACTERS} characters`, 'a prompt', prompt);
  }
}
