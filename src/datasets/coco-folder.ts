import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileError } from '../checkpoint/file-io.js';
import { type CaptionDataset, type CaptionedImage, datasetError } from './caption-dataset.js';
import { readCocoCaptions, readKarpathyCaptions } from './coco-annotations.js';
import { readAnnotations } from './fields.js';
import { ImageFiles } from './image-files.js';

const KARPATHY = 'dataset_coco.json';
const CAPTIONS = /^captions_(\w+)\.json$/;
/** Which one is meant where COCO's archive of annotations was unpacked, which has those for training as well. */
const PREFERRED = ['captions_val2014.json', 'captions_val2017.json'];

/**
 * A data set on disk as COCO comes: `captions_val2014.json` (also below `annotations/`) with images in `images/`, `val2014/` or next to it; or
 * Karpathy's `dataset_coco.json` instead of it. `path` is the folder, or the file with the annotations.
 */
export async function openCocoFolder(path: string, name: string): Promise<CaptionDataset> {
  const file = (await isFolder(path)) ? await findAnnotations(path) : path;
  const folder = folderOf(file);
  const annotations = await readAnnotations(file);
  const images =
    basename(file) === KARPATHY
      ? readKarpathyCaptions(annotations, file)
      : readCocoCaptions(annotations, file);
  return { name, images, openImages: async () => openImages(images, folder, file) };
}

/** The data set's folder: that of the annotations, or the one above. */
function folderOf(file: string): string {
  const folder = dirname(file);
  return basename(folder) === 'annotations' ? dirname(folder) : folder;
}

function openImages(images: readonly CaptionedImage[], folder: string, file: string): ImageFiles {
  const [, split] = CAPTIONS.exec(basename(file)) ?? [];
  const folders = ['images', ...(split === undefined ? [] : [split, join('images', split)]), '.'];
  return new ImageFiles(
    images,
    folders.map((name) => join(folder, name)),
  );
}

async function findAnnotations(folder: string): Promise<string> {
  const found: string[] = [];
  for (const place of [folder, join(folder, 'annotations')]) {
    const names = await readdir(place).catch(() => []);
    found.push(
      ...names.filter((name) => name === KARPATHY || CAPTIONS.test(name)).map((name) => join(place, name)),
    );
  }
  const [only, ...others] = found;
  if (only === undefined) {
    throw datasetError(
      folder,
      `not a data set: no captions_val2014.json (here or in annotations/), no ${KARPATHY}, no .parquet files`,
    );
  }
  if (others.length === 0) return only;
  for (const preferred of [KARPATHY, ...PREFERRED]) {
    const match = found.find((path) => basename(path) === preferred);
    if (match !== undefined) return match;
  }
  const names = found.map((path) => basename(path)).join(', ');
  throw datasetError(folder, `has several files of captions (${names}); give the path of one of them`);
}

async function isFolder(path: string): Promise<boolean> {
  const stats = await stat(path).catch((error) => {
    throw fileError(error, path, 'dataset');
  });
  return stats.isDirectory();
}
