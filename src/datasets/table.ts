import { listNames, quote } from '../base/quote.js';
import { datasetError } from './caption-dataset.js';

/** The first of them that a table has. HuggingFaceM4/COCO has `sentences_raw`. */
const CAPTION_COLUMNS = ['sentences_raw', 'captions', 'caption', 'text'];
export const IMAGE_COLUMN = 'image';

/** Which of the `columns` of the table at `path` has the captions. */
export function captionColumn(columns: readonly string[], path: string): string {
  const column = CAPTION_COLUMNS.find((candidate) => columns.includes(candidate));
  if (column !== undefined) return column;
  throw datasetError(
    path,
    `has no column ${CAPTION_COLUMNS.join(', ')} of captions, but ${listNames(columns)}`,
  );
}

/** The captions in a cell: a list of texts, or one text. `row` is the place that messages name. */
export function captionsOf(cell: unknown, column: string, row: string): string[] {
  const captions: unknown = typeof cell === 'string' ? [cell] : cell;
  if (Array.isArray(captions) && captions.every((caption) => typeof caption === 'string')) return captions;
  throw datasetError(row, `expected texts in column ${column} but found ${quote(cell)}`);
}

/** The file in a cell of the image column: bytes, or a struct with them. */
export function imageBytes(cell: unknown): Uint8Array | undefined {
  if (cell instanceof Uint8Array) return cell;
  if (typeof cell !== 'object' || cell === null || !('bytes' in cell)) return undefined;
  return cell.bytes instanceof Uint8Array ? cell.bytes : undefined;
}

/** The path in a cell of the image column, of a file that is elsewhere. */
export function imagePath(cell: unknown): string | undefined {
  if (typeof cell !== 'object' || cell === null || !('path' in cell)) return undefined;
  return typeof cell.path === 'string' ? cell.path : undefined;
}
