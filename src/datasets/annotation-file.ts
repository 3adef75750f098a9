import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type FileLimit, fileError, readWhole } from '../base/file-io.js';
import { listNames } from '../base/quote.js';
import { datasetError } from './caption-dataset.js';

/** Karpathy's split. */
export const KARPATHY = 'dataset_coco.json';
const CAPTIONS = /^captions_(\w+)\.json$/;
/**
 * Which one is meant where there are several, as in COCO's archive of annotations, which has those for
 * training as well.
 */
const PREFERRED = [KARPATHY, 'captions_val2014.json', 'captions_val2017.json'];
/** The archives that COCO's and Karpathy's annotations come in. */
export const ANNOTATION_ARCHIVE = /^(?:annotations_\w+|caption_datasets)\.zip$/;

/** Karpathy's has 144 MB. */
const annotationLimit: FileLimit = { most: 2 ** 28, of: 'annotations' };

/** A file with annotations, which may be in an archive. */
export interface AnnotationFile {
  /** For messages. */
  readonly path: string;
  /** The folder of the data set. */
  readonly folder: string;
  readonly name: string;
  content(): Promise<Buffer>;
}

/** The annotations at `path`, which is the folder of a data set or a file. */
export async function findAnnotations(path: string): Promise<AnnotationFile> {
  const stats = await stat(path).catch((error) => {
    throw fileError(error, path, 'dataset');
  });
  if (!stats.isDirectory()) return plainFile(path);
  const found = await unpacked(path);
  return preferred(found.length > 0 ? found : await archived(path), path);
}

/** The part of COCO that the file is about, such as val2014. */
export function splitOf({ name }: AnnotationFile): string | undefined {
  return CAPTIONS.exec(name)?.[1];
}

function isAnnotations(name: string): boolean {
  return name === KARPATHY || CAPTIONS.test(name);
}

function plainFile(path: string): AnnotationFile {
  const above = dirname(path);
  return {
    path,
    folder: basename(above) === 'annotations' ? dirname(above) : above,
    name: basename(path),
    content: () => readWhole(path, annotationLimit, 'dataset'),
  };
}

async function unpacked(folder: string): Promise<AnnotationFile[]> {
  const found: AnnotationFile[] = [];
  for (const place of [folder, join(folder, 'annotations')]) {
    const names = await readdir(place).catch(() => []);
    found.push(...names.filter(isAnnotations).map((name) => plainFile(join(place, name))));
  }
  return found;
}

async function archived(folder: string): Promise<AnnotationFile[]> {
  const found: AnnotationFile[] = [];
  for (const file of (await readdir(folder)).filter((name) => ANNOTATION_ARCHIVE.test(name))) {
    const { Archive } = await import('./archive.js');
    const path = join(folder, file);
    const names = await Archive.use(path, (archive) => archive.names);
    for (const name of names.filter((candidate) => isAnnotations(basename(candidate)))) {
      const content = () => Archive.use(path, (archive) => archive.read(name, annotationLimit));
      found.push({ path: `${path}: ${name}`, folder, name: basename(name), content });
    }
  }
  return found;
}

function preferred(found: readonly AnnotationFile[], folder: string): AnnotationFile {
  const [only, ...others] = found;
  if (only === undefined) {
    throw datasetError(
      folder,
      `not a data set: no captions_val2014.json (here or in annotations/), no ${KARPATHY}, no .parquet files`,
    );
  }
  if (others.length === 0) return only;
  for (const name of PREFERRED) {
    const match = found.find((file) => file.name === name);
    if (match !== undefined) return match;
  }
  const names = found.map(({ name }) => name);
  throw datasetError(
    folder,
    `has several files of captions (${listNames(names)}); give the path of one of them`,
  );
}
