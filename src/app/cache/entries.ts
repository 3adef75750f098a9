import { type Dirent, existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { packedWeightsDir, randomWeightsDir } from '../../base/cache-dir.js';
import { fileError, systemErrorCode } from '../../base/file-io.js';
import { sum } from '../../base/numbers.js';
import { convertedFrom, findAbandoned, isConversionName } from '../../checkpoint/conversion.js';
import { SafetensorsFile } from '../../checkpoint/formats/safetensors.js';
import { isPackedName, packedFrom } from '../../engine/lowered/packed-weights.js';
import { isProfileName } from '../../planning/profile-cache.js';

/** What distri keeps, all of which it can make again. */
export const cacheKinds = {
  converted: 'weights as float32, of checkpoints in other types',
  packed: 'weights as the lowered engine multiplies with them',
  random: 'random weights of architectures',
  measured: 'how fast this machine is',
  unfinished: 'what processes that were killed left',
} as const;

export type CacheKind = keyof typeof cacheKinds;

/** Something that is kept. */
export interface CacheEntry {
  /** Its path below the folder of the cache. */
  readonly name: string;
  readonly kind: CacheKind;
  readonly bytes: number;
  /** As the file system notes it: many do once a day. */
  readonly lastUsed: Date;
  /** What it was made of: a model of the hub, a folder, or an architecture. */
  readonly model: string | undefined;
  /** What it was made of is gone, so that nothing will use it. */
  readonly orphaned: boolean;
}

/** All that is kept in this folder, the largest first. What distri did not put there is left out. */
export async function listCache(folder: string): Promise<readonly CacheEntry[]> {
  const found = await Promise.all([
    ...(await namesIn(folder)).map(({ name }) => entryOf(folder, name)),
    ...(await namesIn(packedWeightsDir(folder))).map(({ name }) => packedEntry(folder, name)),
    ...(await namesIn(randomWeightsDir(folder))).map((item) => randomEntry(folder, item)),
    ...(await unfinishedEntries(folder)),
  ]);
  return found.filter((entry) => entry !== undefined).sort((a, b) => b.bytes - a.bytes);
}

/** None where there is no such folder. */
async function namesIn(folder: string): Promise<readonly Dirent[]> {
  return readdir(folder, { withFileTypes: true }).catch((error) => {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return [];
    throw fileError(error, folder, 'output');
  });
}

async function entryOf(folder: string, name: string): Promise<CacheEntry | undefined> {
  if (isProfileName(name)) return fileEntry(folder, join(folder, name), 'measured');
  if (!isConversionName(name)) return undefined;
  const path = join(folder, name);
  return fileEntry(folder, path, 'converted', await sourceOf(path, convertedFrom));
}

async function packedEntry(folder: string, name: string): Promise<CacheEntry | undefined> {
  if (!isPackedName(name)) return undefined;
  const path = join(packedWeightsDir(folder), name);
  return fileEntry(folder, path, 'packed', await sourceOf(path, packedFrom));
}

async function randomEntry(folder: string, item: Dirent): Promise<CacheEntry | undefined> {
  if (!item.isDirectory()) return undefined;
  const path = join(randomWeightsDir(folder), item.name);
  const files = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  const stats = await Promise.all(files.map((file) => usageOf(join(file.parentPath, file.name))));
  const known = stats.filter((usage) => usage !== undefined);
  return {
    name: relative(folder, path),
    kind: 'random',
    bytes: sum(known.map(({ bytes }) => bytes)),
    lastUsed: new Date(Math.max(0, ...known.map(({ lastUsed }) => lastUsed.getTime()))),
    model: item.name,
    orphaned: false,
  };
}

async function unfinishedEntries(folder: string): Promise<readonly Promise<CacheEntry | undefined>[]> {
  const random = (await namesIn(randomWeightsDir(folder))).map(({ name }) =>
    join(randomWeightsDir(folder), name),
  );
  const folders = [folder, packedWeightsDir(folder), ...random];
  const paths = await Promise.all(folders.map((each) => findAbandoned(each).catch(() => [])));
  return paths.flat().map((path) => fileEntry(folder, path, 'unfinished'));
}

/** Undefined where it is gone meanwhile, or no file. */
async function fileEntry(
  folder: string,
  path: string,
  kind: CacheKind,
  source?: string,
): Promise<CacheEntry | undefined> {
  const usage = await usageOf(path);
  if (usage === undefined) return undefined;
  const made = source === undefined ? { orphaned: false } : await originOf(folder, source);
  return { name: relative(folder, path), kind, ...usage, model: undefined, ...made };
}

async function usageOf(path: string): Promise<Pick<CacheEntry, 'bytes' | 'lastUsed'> | undefined> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats?.isFile()) return undefined;
  return { bytes: stats.size, lastUsed: new Date(Math.max(stats.atimeMs, stats.mtimeMs)) };
}

type FromMetadata = (file: SafetensorsFile) => string | undefined;

/** What its header says; undefined where that is damaged. */
async function sourceOf(path: string, from: FromMetadata): Promise<string | undefined> {
  const file = await SafetensorsFile.open(path).catch(() => undefined);
  return file && from(file);
}

/** Of which model a file of weights is, also by way of another file of the cache. */
async function originOf(folder: string, source: string): Promise<Pick<CacheEntry, 'model' | 'orphaned'>> {
  if (dirname(source) === folder && isConversionName(basename(source))) {
    const original = await sourceOf(source, convertedFrom);
    if (original !== undefined) return originOf(folder, original);
  }
  const orphaned = !existsSync(source);
  const random = relative(randomWeightsDir(folder), source).split('/');
  if (random[0] !== '..') return { model: random[0], orphaned };
  const [, organization, name] = /\/models--(.+?)--(.+?)\//.exec(source) ?? [];
  const model = name === undefined ? dirname(source) : `${organization}/${name}`;
  return { model, orphaned };
}
