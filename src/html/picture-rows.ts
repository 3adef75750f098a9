import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, parse, resolve } from 'node:path';
import { DistriError, expected } from '../base/errors.js';
import { fileError } from '../base/file-io.js';
import { quote } from '../base/quote.js';

const EXTENSIONS = new Set(['.png', '.jpg', '.jpeg', '.webp']);

/** A folder of pictures, and what its column is called. */
export interface PictureFolder {
  readonly name: string;
  readonly path: string;
}

/** The pictures of the same name in all folders. */
export interface PictureRow {
  /** The files' name without its extension. */
  readonly name: string;
  /** A path for each folder; undefined where the folder has no such picture. */
  readonly paths: readonly (string | undefined)[];
}

/**
 * Gives every folder a name: the given ones, or as much of the end of its path as tells it from the others.
 * Failures are `usage` errors.
 */
export function nameFolders(paths: readonly string[], names: readonly string[]): PictureFolder[] {
  const absolute = paths.map((path) => resolve(path));
  if (names.length > 0 && names.length !== paths.length) {
    throw expected(`${paths.length} names, one for each folder,`, '--name', names);
  }
  const folders = absolute.map((path, index) => ({ path, name: names[index] ?? shortName(path, absolute) }));
  const twice = folders.find(({ name }, index) => folders.findIndex((other) => other.name === name) < index);
  if (twice)
    throw new DistriError('usage', `Two columns would be called ${quote(twice.name)}; give each a --name`);
  return folders;
}

function shortName(path: string, all: readonly string[]): string {
  let name = basename(path);
  let parent = dirname(path);
  while (all.filter((other) => `${other}/`.endsWith(`/${name}/`)).length > 1 && parent !== dirname(parent)) {
    name = join(basename(parent), name);
    parent = dirname(parent);
  }
  return name;
}

/** The pictures of `folders` in the order of their names, numbers by value. Failures are `usage` errors. */
export async function findPictureRows(folders: readonly PictureFolder[]): Promise<PictureRow[]> {
  const found = await Promise.all(folders.map(({ path }) => listPictures(path)));
  const names = [...new Set(found.flatMap((pictures) => [...pictures.keys()]))];
  const rows = names
    .sort(new Intl.Collator('en', { numeric: true }).compare)
    .map((name) => ({ name, paths: found.map((pictures) => pictures.get(name)) }));
  if (
    folders.length > 1 &&
    !rows.some(({ paths }) => paths.filter((path) => path !== undefined).length > 1)
  ) {
    const all = folders.map(({ path }) => path).join(', ');
    throw new DistriError(
      'usage',
      `No two of ${all} have pictures of the same name, so nothing can be compared`,
    );
  }
  return rows;
}

/** The paths of a folder's pictures by their names without extension. */
async function listPictures(folder: string): Promise<Map<string, string>> {
  const files = await readdir(folder).catch((error) => {
    throw fileError(error, folder, 'usage');
  });
  const pictures = new Map<string, string>();
  for (const file of files) {
    if (!EXTENSIONS.has(extname(file).toLowerCase()) || file.startsWith('.')) continue;
    const { name } = parse(file);
    const other = pictures.get(name);
    if (other !== undefined) {
      throw new DistriError(
        'usage',
        `${folder}: ${basename(other)} and ${file} have the same name; keep one`,
      );
    }
    pictures.set(name, join(folder, file));
  }
  if (pictures.size === 0) {
    throw new DistriError('usage', `${folder}: has no picture (${[...EXTENSIONS].join(', ')})`);
  }
  return pictures;
}

/** Bytes of all pictures. */
export async function totalBytes(rows: readonly PictureRow[]): Promise<number> {
  let total = 0;
  for (const path of rows.flatMap(({ paths }) => paths)) {
    if (path !== undefined) total += (await stat(path)).size;
  }
  return total;
}

/**
 * The prompt of each row: `prompts` by number where the pictures' names are numbers (`0012`), otherwise in
 * the order of the rows. A row without a prompt is a `usage` error.
 */
export function promptsOfRows(
  rows: readonly PictureRow[],
  prompts: readonly string[],
  source: string,
): string[] {
  const numbered = rows.every(({ name }) => /^\d+$/.test(name));
  return rows.map(({ name }, index) => {
    const number = numbered ? Number(name) : index;
    const prompt = prompts[number];
    if (prompt === undefined) {
      throw new DistriError('usage', `${source}: has ${prompts.length} prompts, none for picture ${name}`);
    }
    return prompt;
  });
}
