import type { ErrorCode } from '../base/errors.js';
import type { CaptionedImage, StoredImage } from './caption-dataset.js';

/** Files with tables, in their order, and what people call the data set. */
export interface TableFiles {
  readonly format: 'arrow' | 'parquet';
  readonly paths: readonly string[];
  readonly name: string;
}

/** What the process that reads tables is asked, one question after another. The first one opens them. */
export interface TableQuestions {
  open: TableFiles;
  check: { readonly count: number };
  read: { readonly index: number };
}

export interface TableAnswers {
  open: readonly CaptionedImage[];
  check: undefined;
  read: StoredImage;
}

export type TableQuestion = {
  [K in keyof TableQuestions]: { readonly kind: K; readonly details: TableQuestions[K] };
}[keyof TableQuestions];

export type TableReply =
  | { readonly value: TableAnswers[keyof TableAnswers] }
  | { readonly error: { readonly code: ErrorCode; readonly message: string } };
