import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { toError } from '../base/errors.js';
import {
  type CaptionDataset,
  type CaptionedImage,
  datasetError,
  type ImageReader,
  type StoredImage,
} from './caption-dataset.js';
import { checkCaptioned } from './coco-annotations.js';
import { captionColumn, captionsOf, IMAGE_COLUMN, imageBytes } from './table.js';

/** Some rows that are read together. Numbers of rows count from the beginning of the file. */
interface RowGroup {
  readonly file: ParquetFile;
  readonly rowStart: number;
  readonly rowEnd: number;
}

/**
 * A data set in Parquet files, as the hub has them: a column of captions (a list, or one text), and `image`,
 * a file's bytes or a struct with `bytes`. `paths` are the files in their order.
 */
export async function openParquet(paths: readonly string[], name: string): Promise<CaptionDataset> {
  const images: CaptionedImage[] = [];
  const groups: RowGroup[] = [];
  for (const path of paths) {
    const file = await ParquetFile.open(path);
    images.push(...(await file.captions()));
    groups.push(...file.rowGroups());
  }
  return {
    name,
    images: checkCaptioned(images, name),
    openImages: async () => new ParquetImages(images, groups),
  };
}

class ParquetFile {
  private constructor(
    private readonly path: string,
    private readonly buffer: AsyncBuffer,
    private readonly metadata: FileMetaData,
  ) {}

  static async open(path: string): Promise<ParquetFile> {
    return reading(path, async () => {
      const buffer = await asyncBufferFromFile(path);
      return new ParquetFile(path, buffer, await parquetMetadataAsync(buffer));
    });
  }

  async captions(): Promise<CaptionedImage[]> {
    const column = captionColumn(this.columns(), this.path);
    const rows = await this.read(column);
    return rows.map((cell, row) => {
      const name = `${this.path}: row ${row}`;
      return { name, captions: captionsOf(cell, column, name) };
    });
  }

  rowGroups(): RowGroup[] {
    let rowEnd = 0;
    return this.metadata.row_groups.map(({ num_rows }) => {
      const rowStart = rowEnd;
      rowEnd += Number(num_rows);
      return { file: this, rowStart, rowEnd };
    });
  }

  /** The image files of some rows. */
  async images({ rowStart, rowEnd }: RowGroup): Promise<StoredImage[]> {
    if (!this.columns().includes(IMAGE_COLUMN))
      throw datasetError(this.path, `has no column ${IMAGE_COLUMN}`);
    const rows = await this.read(IMAGE_COLUMN, { rowStart, rowEnd });
    return rows.map((value, row) => {
      const name = `${this.path}: row ${rowStart + row}`;
      const bytes = imageBytes(value);
      if (bytes === undefined) throw datasetError(name, `has no image in its column ${IMAGE_COLUMN}`);
      return { name, bytes };
    });
  }

  private columns(): string[] {
    const [root, ...elements] = this.metadata.schema;
    const names: string[] = [];
    for (let index = 0; names.length < (root?.num_children ?? 0) && index < elements.length; ) {
      names.push(elements[index]?.name ?? '');
      index = behind(elements, index);
    }
    return names;
  }

  private read(column: string, rows: { rowStart?: number; rowEnd?: number } = {}): Promise<unknown[]> {
    const { buffer: file, metadata } = this;
    return reading(this.path, async () => {
      const options = { file, metadata, columns: [column], compressors, utf8: false, ...rows };
      return (await parquetReadObjects({ ...options, rowFormat: 'object' })).map(
        (row) => row[column] as unknown,
      );
    });
  }
}

/** The place behind the element at `index` of a schema and all that is in it. */
function behind(elements: FileMetaData['schema'], index: number): number {
  let next = index + 1;
  for (let child = 0; child < (elements[index]?.num_children ?? 0); child++) next = behind(elements, next);
  return next;
}

async function reading<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw datasetError(
      path,
      `not a whole Parquet file: ${toError(error).message.replaceAll(/\s+/g, ' ')}`,
      error,
    );
  }
}

/** Holds the images of one row group, because they are read in order. */
class ParquetImages implements ImageReader {
  private held: { readonly group: RowGroup; readonly images: readonly StoredImage[] } | undefined;

  constructor(
    private readonly images: readonly CaptionedImage[],
    private readonly groups: readonly RowGroup[],
  ) {}

  /** They are in the same files as the captions, which were read. */
  async check(): Promise<void> {}

  async read(index: number): Promise<StoredImage> {
    const { group, row } = this.locate(index);
    if (this.held?.group !== group) this.held = { group, images: await group.file.images(group) };
    return this.held.images[row] as StoredImage;
  }

  async close(): Promise<void> {
    this.held = undefined;
  }

  private locate(index: number): { readonly group: RowGroup; readonly row: number } {
    let row = index;
    for (const group of this.groups) {
      const rows = group.rowEnd - group.rowStart;
      if (row < rows) return { group, row };
      row -= rows;
    }
    throw new Error(`there is no image ${index} of ${this.images.length}`);
  }
}
