import { DistriError } from '../base/errors.js';
import { readWhole } from '../base/file-io.js';

/** A prompt that is drawn on its own. */
export interface SinglePrompt {
  readonly text: string;
  /** Where it comes from, for messages: "line 3 of prompts.txt". */
  readonly origin: string;
}

/** Some hundred thousand prompts. */
const MAX_FILE_BYTES = 2 ** 26;

/** One prompt per line; lines without text are skipped. */
export async function readPromptsFile(path: string): Promise<SinglePrompt[]> {
  const bytes = await readWhole(path, { most: MAX_FILE_BYTES, of: 'prompts' }, 'usage');
  const prompts = splitLines(decode(bytes, path)).flatMap((line, index) => {
    const text = line.trim();
    return text === '' ? [] : { text, origin: `line ${index + 1} of ${path}` };
  });
  if (prompts.length === 0) throw new DistriError('usage', `${path}: has no prompt; give one per line`);
  return prompts;
}

export function numberPrompts(texts: readonly string[]): SinglePrompt[] {
  return texts.map((text, index) => ({ text, origin: `prompt ${index + 1}` }));
}

/** Without the byte order mark that some editors write. */
function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new DistriError('usage', `${path}: not UTF-8 text`, { cause: error });
  }
}

function splitLines(text: string): string[] {
  return text.split(/\r\n|\n|\r/);
}
