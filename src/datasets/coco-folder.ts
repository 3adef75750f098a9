import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ANNOTATION_ARCHIVE,
  type AnnotationFile,
  findAnnotations,
  KARPATHY,
  splitOf,
} from './annotation-file.js';
import type { CaptionDataset, CaptionedImage, ImageReader } from './caption-dataset.js';
import { readCocoCaptions, readKarpathyCaptions } from './coco-annotations.js';
import { parseAnnotations } from './fields.js';
import { ImageFiles } from './image-files.js';

/**
 * A data set on disk as COCO comes: `captions_val2014.json` (also below `annotations/`) with images in
 * `images/`, `val2014/` or next to it; or Karpathy's `dataset_coco.json` instead of it. Annotations and
 * images may be in the archives that they are distributed in. `path` is the folder, or the file with the
 * annotations.
 */
export async function openCocoFolder(path: string, name: string): Promise<CaptionDataset> {
  const file = await findAnnotations(path);
  const annotations = parseAnnotations(await file.content(), file.path);
  const read = file.name === KARPATHY ? readKarpathyCaptions : readCocoCaptions;
  const images = read(annotations, file.path);
  return { name, images, openImages: () => openImages(images, file) };
}

async function openImages(images: readonly CaptionedImage[], file: AnnotationFile): Promise<ImageReader> {
  const split = splitOf(file);
  const places = ['images', ...(split === undefined ? [] : [split, join('images', split)]), '.'];
  const files = new ImageFiles(
    images,
    places.map((place) => join(file.folder, place)),
  );
  if (files.has(0)) return files;
  return (await openArchives(images, file.folder)) ?? files;
}

/** The archives next to the annotations, when the first image is in one of them. */
async function openArchives(
  images: readonly CaptionedImage[],
  folder: string,
): Promise<ImageReader | undefined> {
  const names = (await readdir(folder)).filter(
    (name) => /\.zip$/i.test(name) && !ANNOTATION_ARCHIVE.test(name),
  );
  if (names.length === 0) return undefined;
  const [{ Archive }, { ImageArchives }] = await Promise.all([
    import('./archive.js'),
    import('./image-archives.js'),
  ]);
  const opened = await Promise.allSettled(names.map((name) => Archive.open(join(folder, name))));
  const archives = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const reader = new ImageArchives(images, archives);
  const failure = opened.find((result) => result.status === 'rejected');
  if (failure === undefined && reader.has(0)) return reader;
  await reader.close();
  if (failure !== undefined) throw failure.reason;
  return undefined;
}
