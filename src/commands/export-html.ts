import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { Command } from 'commander';
import { readPromptsFile } from '../app/prompts.js';
import { DistriError, expected } from '../base/errors.js';
import { fileError, writeAtomically, writeExactly } from '../base/file-io.js';
import { makeFolders } from '../base/folders.js';
import { listNames, quote } from '../base/quote.js';
import { ColumnTotals, type ComparisonOptions, compareRow } from '../html/comparison.js';
import { type PageHead, pageEnd, pageRow, pageStart, summaryText } from '../html/comparison-page.js';
import {
  findPictureRows,
  nameFolders,
  type PictureFolder,
  type PictureRow,
  promptsOfRows,
  totalBytes,
} from '../html/picture-rows.js';
import { createGenerator } from '../tensor/random.js';
import type { CommandContext } from './context.js';
import { atLeast, choice, list, value, withDefault } from './options/build.js';
import { seed, text } from './options/parsers.js';
import { exampleLines } from './output/examples.js';
import { type Terminal, terminalOf } from './output/terminal.js';

/** Up to this many bytes of pictures a page holds them itself. */
const EMBED_LIMIT = 20 * 1000 * 1000;

const pictureChoices = ['auto', 'embed', 'link'] as const;

const examples = [
  'results/one-rank results/two-ranks',
  'one full stale --name "1 rank" --name "full_sync" --name "stale_gn" --prompts prompts.txt',
  'results/coco/* --max_images 100 --seed 7 --output_path compare.html --pictures embed',
];

interface ExportOptions {
  readonly prompts?: string;
  readonly name?: readonly string[];
  readonly reference?: string;
  readonly title?: string;
  readonly pictures: (typeof pictureChoices)[number];
  readonly thumbnail_size: number;
  readonly max_images?: number;
  readonly seed?: bigint;
  readonly output_path: string;
}

/** `distri export-html`. */
export function exportHtmlCommand({ signal }: CommandContext): Command {
  const command = new Command('export-html')
    .description('Write a page that compares folders of pictures side by side.')
    .argument('<folders...>', 'a column each; what is no folder is left out where there are folders too')
    .addOption(withDefault('--output_path <file>', 'the page', 'comparison.html', text))
    .addOption(
      value(
        '--prompts <file>',
        'prompts of the rows: one per line, or a JSON list; otherwise what the PNG files say',
        text,
      ),
    )
    .addOption(list('--name <name>', "a column's name; once for each folder", text))
    .addOption(value('--reference <name>', 'the column that PSNR compares with (default: the first)', text))
    .addOption(value('--title <text>', 'heading of the page', text))
    .addOption(value('--max_images <n>', 'rows: the first n, or with --seed any n', atLeast(1)))
    .addOption(value('--seed <n>', 'chooses the rows of --max_images at random, always the same', seed));
  return command
    .addOption(
      choice('--pictures <how>', 'in the page, its own files, or embed up to 20 MB', pictureChoices, 'auto'),
    )
    .addOption(
      withDefault('--thumbnail_size <pixels>', 'the longer side of the small pictures', 256, atLeast(16)),
    )
    .addHelpText(
      'after',
      '\nPictures of the same name in different folders are compared; they are PNG, JPEG or WebP files.',
    )
    .addHelpText('after', exampleLines('export-html', examples))
    .action((folders: string[]) =>
      exportHtml(folders, command.opts<ExportOptions>(), terminalOf(command), signal),
    );
}

async function exportHtml(
  paths: readonly string[],
  options: ExportOptions,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  if (options.seed !== undefined && options.max_images === undefined) {
    throw new DistriError('usage', '--seed needs --max_images: all rows are shown otherwise');
  }
  const folders = nameFolders(await onlyFolders(paths, terminal), options.name ?? []);
  const reference = referenceColumn(folders, options.reference);
  const page = pagePath(options.output_path);
  const all = await findPictureRows(folders);
  const rows = chooseRows(all, await rowPrompts(all, options.prompts), options);
  const pictures = rows.map(({ row }) => row);
  const embed =
    options.pictures === 'auto' ? (await totalBytes(pictures)) <= EMBED_LIMIT : options.pictures === 'embed';

  const columns = folders.map(({ name }) => name);
  const head = { title: options.title ?? columns.join(' · '), columns, reference };
  const comparison = { reference, thumbnailSide: options.thumbnail_size, embed, page };
  const totals = await writePage(head, rows, comparison, terminal, signal);

  terminal.result(page);
  for (const [index, name] of columns.entries()) {
    const total = totals[index];
    if (index !== reference && total) terminal.report(`${name}: ${summaryText(total.summary())}`);
  }
}

/** Shells expand `results/*` to files too. */
async function onlyFolders(paths: readonly string[], terminal: Terminal): Promise<readonly string[]> {
  const kinds = await Promise.all(
    paths.map((path) =>
      stat(path).catch((error) => {
        throw fileError(error, path, 'usage');
      }),
    ),
  );
  const folders = paths.filter((_, index) => kinds[index]?.isDirectory());
  const files = paths.filter((_, index) => !kinds[index]?.isDirectory());
  if (folders.length === 0) {
    throw new DistriError('usage', `${files[0]}: a file; give folders of pictures`);
  }
  if (files.length > 0) terminal.note(`not folders and left out: ${listNames(files)}`);
  return folders;
}

interface PromptedRow {
  readonly row: PictureRow;
  readonly prompt: string | undefined;
}

/** All rows, the first, or some at random in their order. */
function chooseRows(
  rows: readonly PictureRow[],
  prompts: readonly (string | undefined)[],
  { max_images: most = rows.length, seed: given }: ExportOptions,
): readonly PromptedRow[] {
  const indices = [...rows.keys()];
  const chosen = given === undefined ? indices : shuffled(indices, given);
  return chosen
    .slice(0, most)
    .toSorted((a, b) => a - b)
    .map((index) => ({ row: rows[index] as PictureRow, prompt: prompts[index] }));
}

function shuffled(indices: readonly number[], seed: bigint): number[] {
  const keys = createGenerator('cpu', seed).randn([indices.length]).data;
  return indices.toSorted((a, b) => (keys[a] as number) - (keys[b] as number));
}

function referenceColumn(folders: readonly PictureFolder[], name: string | undefined): number {
  if (name === undefined) return 0;
  const index = folders.findIndex((folder) => folder.name === name);
  if (index < 0)
    throw expected(`one of ${folders.map((folder) => quote(folder.name)).join(', ')}`, '--reference', name);
  return index;
}

function pagePath(given: string): string {
  if (!/\.html?$/i.test(basename(given))) throw expected('a path that ends in .html', '--output_path', given);
  return resolve(given);
}

async function rowPrompts(
  rows: readonly PictureRow[],
  file: string | undefined,
): Promise<readonly (string | undefined)[]> {
  if (file === undefined) return rows.map(() => undefined);
  const prompts = await readPromptsFile(file);
  return promptsOfRows(
    rows,
    prompts.map((prompt) => prompt.text),
    file,
  );
}

/** Writes the page row by row, so that no more than a row's pictures are in memory. */
async function writePage(
  head: PageHead,
  rows: readonly PromptedRow[],
  options: ComparisonOptions,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<readonly ColumnTotals[]> {
  const totals = head.columns.map(() => new ColumnTotals());
  const progress = terminal.progress(rows.length, 'rows');
  try {
    await makeFolders(dirname(options.page));
    await writeAtomically(options.page, async (handle) => {
      let position = 0;
      const write = async (html: string) => {
        const bytes = Buffer.from(html, 'utf8');
        await writeExactly(handle, bytes, position);
        position += bytes.length;
      };
      await write(await pageStart(head));
      for (const [index, { row, prompt }] of rows.entries()) {
        signal.throwIfAborted();
        const compared = await compareRow(row, prompt, options);
        for (const [column, total] of totals.entries()) total.add(compared.cells[column]?.psnr);
        await write(pageRow(compared, head.columns));
        progress.update(index + 1, 'comparing');
      }
      await write(await pageEnd(totals.map((total) => total.summary())));
    });
  } catch (error) {
    throw fileError(error, options.page, 'output');
  } finally {
    progress.stop();
  }
  return totals;
}
