import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { expected } from '../runtime/errors.js';
import type { CaptionDataset } from './caption-dataset.js';
import { openCocoFolder } from './coco-folder.js';

/** The data set that comes with the package: 512 pictures of shapes that the embedded model was not trained on. */
export const EMBEDDED_DATASET = 'shapes-val';

/** Opens `shapes-val` (which lies at `embedded`), a folder or a file with annotations. */
export async function openCaptionDataset(name: string, embedded: string): Promise<CaptionDataset> {
  if (name === EMBEDDED_DATASET) return openCocoFolder(embedded, name);
  if (existsSync(name)) return openCocoFolder(resolve(name), resolve(name));
  throw expected(`${EMBEDDED_DATASET} or a folder with captions and images`, '--dataset', name);
}
