import { basename, dirname, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { readPromptsFile } from '../app/prompts.js';
import { DistriError, expected } from '../base/errors.js';
import { fileError, writeAtomically, writeExactly } from '../base/file-io.js';
import { makeFolders } from '../base/folders.js';
import { readJson } from '../base/json.js';
import { quote } from '../base/quote.js';
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
import { integer, oneOf, repeated, text } from './options/parsers.js';
import { Terminal, type Verbosity } from './output/terminal.js';

/** Up to this many bytes of pictures a page holds them itself. */
const EMBED_LIMIT = 20 * 1000 * 1000;

const pictureChoices = ['auto', 'embed', 'link'] as const;

const examples = `
Pictures of the same name in different folders are compared; they are PNG, JPEG or WebP files.

Examples:
  distri export-html results/one-rank results/two-ranks
  distri export-html one full stale --name "1 rank" --name "full_sync" --name "stale_gn" --prompts prompts.txt
  distri export-html results/* --reference one --output_path compare.html --pictures embed`;

interface ExportOptions {
  readonly prompts?: string;
  readonly name?: readonly string[];
  readonly reference?: string;
  readonly title?: string;
  readonly pictures: (typeof pictureChoices)[number];
  readonly thumbnail_size: number;
  readonly output_path: string;
}

/** `distri export-html`. `interruption` is aborted when the user wants it to end. */
export function exportHtmlCommand(interruption: AbortSignal): Command {
  return new Command('export-html')
    .description('Write a page that compares folders of pictures side by side.')
    .argument('<folders...>', 'a column each')
    .addOption(
      new Option('--output_path <file>', 'the page')
        .argParser(text('--output_path'))
        .default('comparison.html'),
    )
    .addOption(
      new Option(
        '--prompts <file>',
        'prompts of the rows: one per line, or a JSON list; otherwise what the PNG files say',
      ).argParser(text('--prompts')),
    )
    .addOption(
      new Option('--name <name>', "a column's name; once for each folder").argParser(
        repeated(text('--name')),
      ),
    )
    .addOption(
      new Option('--reference <name>', 'the column that PSNR compares with (default: the first)').argParser(
        text('--reference'),
      ),
    )
    .addOption(new Option('--title <text>', 'heading of the page').argParser(text('--title')))
    .addOption(
      new Option('--pictures <how>', 'embed: in the page; link: the files; auto: embed up to 20 MB')
        .choices(pictureChoices)
        .argParser(oneOf('--pictures', pictureChoices))
        .default('auto'),
    )
    .addOption(
      new Option('--thumbnail_size <pixels>', 'the longer side of the small pictures')
        .argParser(integer('--thumbnail_size', 16))
        .default(256),
    )
    .addHelpText('after', examples)
    .action((folders: string[], options: ExportOptions, command: Command) =>
      exportHtml(folders, options, verbosity(command), interruption),
    );
}

function verbosity(command: Command): Verbosity {
  const { quiet, verbose } = command.optsWithGlobals<{ quiet?: true; verbose?: true }>();
  if (quiet) return 'quiet';
  return verbose ? 'verbose' : 'normal';
}

async function exportHtml(
  paths: readonly string[],
  options: ExportOptions,
  verbosity: Verbosity,
  interruption: AbortSignal,
): Promise<void> {
  const terminal = new Terminal(verbosity);
  const folders = nameFolders(paths, options.name ?? []);
  const reference = referenceColumn(folders, options.reference);
  const page = pagePath(options.output_path);
  const rows = await findPictureRows(folders);
  const prompts = await rowPrompts(rows, options.prompts);
  const embed =
    options.pictures === 'auto' ? (await totalBytes(rows)) <= EMBED_LIMIT : options.pictures === 'embed';

  const columns = folders.map(({ name }) => name);
  const head = { title: options.title ?? columns.join(' · '), columns, reference };
  const comparison = { reference, thumbnailSide: options.thumbnail_size, embed, page };
  const totals = await writePage(head, rows, prompts, comparison, terminal, interruption);

  terminal.result(page);
  for (const [index, name] of columns.entries()) {
    const total = totals[index];
    if (index !== reference && total) terminal.report(`${name}: ${summaryText(total.summary())}`);
  }
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
  return promptsOfRows(rows, await readPrompts(file), file);
}

/** A prompt per line; or a JSON list, as of a data set's captions, which may have line breaks in them. */
async function readPrompts(file: string): Promise<readonly string[]> {
  if (!file.endsWith('.json')) return (await readPromptsFile(file)).map((prompt) => prompt.text);
  const list = await readJson(file);
  if (Array.isArray(list) && list.every((prompt): prompt is string => typeof prompt === 'string'))
    return list;
  throw new DistriError('usage', `${file}: not a JSON list of texts`);
}

/** Writes the page row by row, so that no more than a row's pictures are in memory. */
async function writePage(
  head: PageHead,
  rows: readonly PictureRow[],
  prompts: readonly (string | undefined)[],
  options: ComparisonOptions,
  terminal: Terminal,
  interruption: AbortSignal,
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
      for (const [index, row] of rows.entries()) {
        interruption.throwIfAborted();
        progress.update(index, 'comparing');
        const compared = await compareRow(row, prompts[index], options);
        for (const [column, total] of totals.entries()) total.add(compared.cells[column]?.psnr);
        await write(pageRow(compared, head.columns));
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
