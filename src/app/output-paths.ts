import { existsSync, statSync } from 'node:fs';
import { extname, join, resolve, sep } from 'node:path';
import { expected } from '../base/errors.js';

const DEFAULT_FOLDER = 'results';
const SLUG_LENGTH = 40;

/**
 * Where one file goes: `given`; a new name in it when it is a folder; a new name in results/ when nothing is
 * given. `extension` is the one that the file must have.
 */
export function chooseOutputPath(
  given: string | undefined,
  title: string,
  extension: string,
  option = '--output_path',
): string {
  return chooseOutputPaths(given, [title], 1, extension, option)[0] as string;
}

/** The same for `each` pictures of every title: new names are those of their titles, `given` is numbered. */
export function chooseOutputPaths(
  given: string | undefined,
  titles: readonly string[],
  each: number,
  extension: string,
  option = '--output_path',
): readonly string[] {
  if (given !== undefined && !given.endsWith(sep) && !isFolder(given)) {
    if (extname(given).toLowerCase() !== extension) {
      throw expected(`a path that ends in ${extension}, or a folder,`, option, given);
    }
    return numberedPaths(resolve(given), titles.length * each);
  }
  const folder = resolve(given ?? DEFAULT_FOLDER);
  const taken = new Set<string>();
  const now = new Date();
  return titles.flatMap((title) => {
    const name = newName(folder, title, extension, now, taken);
    taken.add(name);
    return numberedPaths(name, each);
  });
}

/** The folder that files go to: `given`, or a new name in results/. */
export function chooseOutputFolder(given: string | undefined, title: string): string {
  if (given === undefined) return newName(resolve(DEFAULT_FOLDER), title, '', new Date());
  if (extname(given) === '' || given.endsWith(sep) || isFolder(given)) return resolve(given);
  throw expected('a folder', '--output_path', given);
}

/** One path per picture: a number before the extension when there are several. */
export function numberedPaths(path: string, count: number): string[] {
  if (count === 1) return [path];
  const extension = extname(path);
  const stem = path.slice(0, path.length - extension.length);
  const digits = String(count - 1).length;
  return Array.from(
    { length: count },
    (_, index) => `${stem}-${String(index).padStart(digits, '0')}${extension}`,
  );
}

/**
 * A file or folder called such as `20260131-142530-123-a-yellow-star.png`: sorted by time (to the
 * millisecond), readable, and not there yet.
 */
function newName(
  folder: string,
  title: string,
  extension: string,
  now: Date,
  taken: ReadonlySet<string> = new Set(),
): string {
  const words = title
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-');
  const slug = Array.from(words)
    .slice(0, SLUG_LENGTH)
    .join('')
    .replace(/^-+|-+$/g, '');
  const stem = [timestamp(now), slug].filter((part) => part !== '').join('-');
  for (let attempt = 1; ; attempt++) {
    const path = join(folder, `${stem}${attempt === 1 ? '' : `-${attempt}`}${extension}`);
    if (!existsSync(path) && !taken.has(path)) return path;
  }
}

function timestamp(now: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const date = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  const time = `${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
  return `${date}-${time}-${String(now.getMilliseconds()).padStart(3, '0')}`;
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
