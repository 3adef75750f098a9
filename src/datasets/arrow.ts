import { existsSync } from 'node:fs';
import { type Table, tableFromIPC } from '@uwdata/flechette';
import { toError } from '../base/errors.js';
import { type FileLimit, readWhole } from '../base/file-io.js';
import {
  type CaptionDataset,
  type CaptionedImage,
  datasetError,
  type ImageReader,
  imageLimit,
  type StoredImage,
} from './caption-dataset.js';
import { checkCaptioned } from './coco-annotations.js';
import { captionColumn, captionsOf, IMAGE_COLUMN, imageBytes, imagePath } from './table.js';

/** `datasets` begins a new file after half a gigabyte. */
const tableLimit: FileLimit = { most: 2 ** 31, of: 'a table' };

/** How a stream ends: a message of no length. */
const END_OF_STREAM = Buffer.from('ffffffff00000000', 'hex');

/** The image column's cell of one row. */
interface Cell {
  readonly row: string;
  value(): unknown;
}

/**
 * A data set as Python's `datasets` prepares it: streams in Arrow's format, whose image column has the bytes,
 * or the paths of files in its cache. `paths` are the files in their order; they are held in memory.
 */
export async function openArrow(paths: readonly string[], name: string): Promise<CaptionDataset> {
  const images: CaptionedImage[] = [];
  const cells: Cell[] = [];
  for (const path of paths) {
    const table = await readTable(path);
    const column = captionColumn(table.names, path);
    const captions = table.getChild(column);
    const stored = table.names.includes(IMAGE_COLUMN) ? table.getChild(IMAGE_COLUMN) : undefined;
    for (let index = 0; index < table.numRows; index++) {
      const row = `${path}: row ${index}`;
      images.push({ name: row, captions: captionsOf(captions.at(index), column, row) });
      cells.push({ row, value: () => stored?.at(index) });
    }
  }
  return { name, images: checkCaptioned(images, name), openImages: async () => new ArrowImages(cells) };
}

async function readTable(path: string): Promise<Table> {
  const bytes = await readWhole(path, tableLimit, 'dataset');
  try {
    const table = tableFromIPC(bytes);
    if (!bytes.subarray(-END_OF_STREAM.length).equals(END_OF_STREAM)) throw new Error('its end is missing');
    return table;
  } catch (error) {
    throw datasetError(path, `not a whole stream in Arrow's format: ${toError(error).message}`, error);
  }
}

class ArrowImages implements ImageReader {
  constructor(private readonly cells: readonly Cell[]) {}

  async check(count: number): Promise<void> {
    for (const { row, value } of this.cells.slice(0, count)) {
      const cell = value();
      if (imageBytes(cell) !== undefined) continue;
      const path = imagePath(cell);
      if (path === undefined) throw datasetError(row, `has no image in its column ${IMAGE_COLUMN}`);
      if (!existsSync(path)) throw datasetError(path, `no such image, but ${row} names it`);
    }
  }

  async read(index: number): Promise<StoredImage> {
    const { row, value } = this.cells[index] as Cell;
    const cell = value();
    const bytes = imageBytes(cell);
    if (bytes !== undefined) return { name: row, bytes };
    const path = imagePath(cell) ?? row;
    return { name: path, bytes: await readWhole(path, imageLimit, 'dataset') };
  }

  async close(): Promise<void> {}
}
