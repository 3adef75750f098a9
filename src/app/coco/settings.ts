import { randomBytes } from 'node:crypto';
import { link, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DistriError } from '../../base/errors.js';
import { fileError, systemErrorCode } from '../../base/file-io.js';
import { quote } from '../../base/quote.js';

/** Of the folder's pictures; docs/datasets.md lists the fields. */
const SETTINGS_FILE = 'settings.json';

/** What decides how a caption's picture looks. Values are compared as JSON. */
export type Settings = Readonly<Record<string, string | number | boolean>>;

/**
 * Records the settings in `folder` before its first picture is drawn. A folder with other settings, or with
 * pictures but without settings, is refused. Of several processes that begin at the same time, one records
 * and the others compare.
 */
export async function recordSettings(folder: string, settings: Settings): Promise<void> {
  const path = join(folder, SETTINGS_FILE);
  const recorded = await readSettings(path);
  if (recorded !== undefined) {
    compare(path, recorded, settings);
    return;
  }
  await refusePictures(folder);
  if (!(await create(path, `${JSON.stringify(settings, undefined, 2)}\n`))) {
    compare(path, (await readSettings(path)) ?? {}, settings);
  }
}

async function readSettings(path: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const text = await readFile(path, 'utf8').catch((error) => {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw fileError(error, path, 'output');
  });
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new DistriError(
    'output',
    `${path}: not the settings of a folder of pictures; choose another --output_root`,
  );
}

function compare(path: string, recorded: Readonly<Record<string, unknown>>, settings: Settings): void {
  const names = [...new Set([...Object.keys(recorded), ...Object.keys(settings)])].sort();
  const differences = names
    .filter((name) => JSON.stringify(recorded[name]) !== JSON.stringify(settings[name]))
    .map((name) => `${name} is ${quote(recorded[name])} there and ${quote(settings[name])} now`);
  if (differences.length === 0) return;
  throw new DistriError(
    'usage',
    `${path}: the folder's pictures were drawn with other settings (${differences.join('; ')}); choose another --output_root`,
  );
}

async function refusePictures(folder: string): Promise<void> {
  const picture = (await readdir(folder)).find((name) => /^\d{4,}\.png$/.test(name));
  if (picture === undefined) return;
  throw new DistriError(
    'usage',
    `${folder}: has pictures (${picture}) but no ${SETTINGS_FILE} that says how they were drawn; choose another --output_root`,
  );
}

/** Makes a file that is whole from the beginning; false when another process was faster. */
async function create(path: string, text: string): Promise<boolean> {
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
  try {
    await writeFile(temporary, text, { flush: true });
    // Unlike a rename this does not replace a file.
    await link(temporary, path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw fileError(error, path, 'output');
  } finally {
    await rm(temporary, { force: true });
  }
}
