import { toError } from '../base/errors.js';
import { staysInside } from '../base/inner-path.js';
import { isJsonObject, type JsonObject } from '../base/json.js';
import { quote } from '../base/quote.js';
import { datasetError } from './caption-dataset.js';

/**
 * Of objects, lists and what is in them. Karpathy's annotations have 12 million; an empty list takes 40
 * bytes.
 */
const MAX_VALUES = 16_000_000;

/**
 * The JSON object in the file at `path`. Annotations are up to 150 MB, so the engine's own parser reads them;
 * it would end the process where the memory does not suffice.
 */
export function parseAnnotations(content: Buffer, path: string): JsonObject {
  if (countValues(content) > MAX_VALUES) throw datasetError(path, `has more than ${MAX_VALUES} values`);
  let value: unknown;
  try {
    value = JSON.parse(content.toString('utf8'));
  } catch (error) {
    const reason = toError(error).message.replaceAll(/\s+/g, ' ');
    throw datasetError(path, `not JSON, or cut short: ${reason}`, error);
  }
  if (!isJsonObject(value)) throw datasetError(path, 'not a JSON object');
  return value;
}

/** At least as many as there are: every one but the first in its list or object stands behind a comma. */
function countValues(json: Uint8Array): number {
  let count = 0;
  for (const byte of json) {
    if (byte === COMMA || byte === BRACKET || byte === BRACE) count++;
  }
  return count;
}

const COMMA = 0x2c;
const BRACKET = 0x5b;
const BRACE = 0x7b;

/** The objects in the list `object[key]`, each with the place to name in messages. */
export function listOfObjects(
  object: JsonObject,
  key: string,
  where: string,
): { readonly value: JsonObject; readonly place: string }[] {
  const list = object[key];
  if (!Array.isArray(list)) throw wrong(where, key, 'a list', list);
  return list.map((value: unknown, index) => {
    const place = `${where}: ${key}[${index}]`;
    if (!isJsonObject(value)) throw datasetError(place, `expected an object but found ${quote(value)}`);
    return { value, place };
  });
}

export function stringField(object: JsonObject, key: string, where: string): string {
  const value = object[key];
  if (typeof value !== 'string') throw wrong(where, key, 'a string', value);
  return value;
}

export function integerField(object: JsonObject, key: string, where: string): number {
  const value = object[key];
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw wrong(where, key, 'an integer', value);
  return value;
}

/** A file's name, which must not lead out of the data set. */
export function fileNameField(object: JsonObject, key: string, where: string): string {
  const name = stringField(object, key, where);
  if (!staysInside(name)) throw wrong(where, key, 'the name of a file in the data set', name);
  return name;
}

function wrong(where: string, key: string, wanted: string, found: unknown): Error {
  return datasetError(
    where,
    `expected ${wanted} for ${key} but found ${found === undefined ? 'nothing' : quote(found)}`,
  );
}
