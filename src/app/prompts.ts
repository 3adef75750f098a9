import { DistriError, toError } from '../base/errors.js';
import { readWhole } from '../base/file-io.js';
import { parseJson } from '../base/json.js';

/** A prompt that is drawn on its own. */
export interface SinglePrompt {
  readonly text: string;
  /** Where it comes from, for messages: "line 3 of prompts.txt". */
  readonly origin: string;
}

/**
 * A prompt per line, those without text skipped; or of a .json file, a list of texts, as `dump-coco` writes
 * captions.
 */
export async function readPromptsFile(path: string): Promise<SinglePrompt[]> {
  const prompts = path.endsWith('.json') ? await readList(path) : await readLines(path);
  if (prompts.length === 0) throw new DistriError('usage', `${path}: has no prompt; give one per line`);
  return prompts;
}

async function readLines(path: string): Promise<SinglePrompt[]> {
  return splitLines(await readText(path)).flatMap((line, index) => {
    const text = line.trim();
    return text === '' ? [] : { text, origin: `line ${index + 1} of ${path}` };
  });
}

async function readList(path: string): Promise<SinglePrompt[]> {
  const list = parseList(await readText(path), path);
  if (!Array.isArray(list) || !list.every((text): text is string => typeof text === 'string')) {
    throw new DistriError('usage', `${path}: not a JSON list of texts`);
  }
  return list.map((text, index) => ({ text, origin: `text ${index + 1} of ${path}` }));
}

function parseList(text: string, path: string): unknown {
  try {
    return parseJson(text, path);
  } catch (error) {
    throw new DistriError('usage', toError(error).message, { cause: error });
  }
}

/** Files of prompts are kilobytes. */
const MOST_BYTES = 64 * 1024 * 1024;

/** Without the byte order mark that some editors write. */
async function readText(path: string): Promise<string> {
  const bytes = await readWhole(path, { most: MOST_BYTES, of: 'prompts' }, 'usage');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new DistriError('usage', `${path}: not UTF-8 text`, { cause: error });
  }
}

export function numberPrompts(texts: readonly string[]): SinglePrompt[] {
  return texts.map((text, index) => ({ text, origin: `prompt ${index + 1}` }));
}

function splitLines(text: string): string[] {
  return text.split(/\r\n|\n|\r/);
}
