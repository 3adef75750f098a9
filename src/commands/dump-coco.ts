import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { openDataset } from '../app/coco/dataset.js';
import { fileError, writeAtomically } from '../base/file-io.js';
import { makeFolders } from '../base/folders.js';
import { choosePrompts, type ImageReader } from '../datasets/caption-dataset.js';
import { EMBEDDED_DATASET } from '../datasets/open.js';
import { convertToPng } from '../images/convert.js';
import type { CommandContext } from './context.js';
import { atLeast, value, withDefault } from './options/build.js';
import { datasetOption } from './options/coco.js';
import { text } from './options/parsers.js';
import { exampleLines } from './output/examples.js';
import { counted } from './output/summary.js';
import { type Terminal, terminalOf } from './output/terminal.js';

const examples = [
  '',
  '--limit 64 --output_root shapes',
  '--dataset HuggingFaceM4/COCO --limit 5000',
  '--dataset path/to/coco --output_root ground-truth',
];

interface DumpOptions {
  readonly dataset: string;
  readonly output_root: string;
  readonly limit?: number;
}

/**
 * `distri dump-coco`. Names and defaults of distrifuser's scripts/dump_coco.py; `--dataset` and `--limit` are
 * distri's.
 */
export function dumpCocoCommand({ signal }: CommandContext): Command {
  const command = new Command('dump-coco')
    .description(
      "Write a data set's images as PNG, and the captions that generate-coco draws as prompts.json.",
    )
    .addHelpText('after', exampleLines('dump-coco', examples))
    .addOption(datasetOption().default(EMBEDDED_DATASET))
    .addOption(withDefault('--output_root <folder>', 'where prompts.json and images/ go', './coco', text))
    .addOption(value('--limit <n>', 'only the first n images (default: all)', atLeast(1)));
  return command.action(() => dumpCoco(command.opts<DumpOptions>(), terminalOf(command), signal));
}

async function dumpCoco(options: DumpOptions, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const dataset = await openDataset(options.dataset, { observer: terminal, signal });
  const prompts = choosePrompts(dataset).slice(0, options.limit);
  const reader = await dataset.openImages();
  try {
    await reader.check(prompts.length);
    const root = resolve(options.output_root);
    await writeImages(reader, prompts.length, join(root, 'images'), terminal, signal);
    // Last, so that a folder with prompts has all images.
    await writeOutput(join(root, 'prompts.json'), asciiJson(prompts));
    terminal.note(`${counted(prompts.length, 'image')} of ${dataset.name}`);
    terminal.result(root);
  } finally {
    await reader.close();
  }
}

async function writeImages(
  reader: ImageReader,
  count: number,
  folder: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  await makeFolders(folder).catch((error) => {
    throw fileError(error, folder, 'output');
  });
  const progress = terminal.progress(count, 'images');
  try {
    for (let index = 0; index < count; index++) {
      signal.throwIfAborted();
      const { bytes, name } = await reader.read(index);
      await writeOutput(
        join(folder, `${String(index).padStart(4, '0')}.png`),
        await convertToPng(bytes, name),
      );
      progress.update(index + 1, 'writing');
    }
  } finally {
    progress.stop();
  }
}

async function writeOutput(path: string, content: string | Uint8Array): Promise<void> {
  await writeAtomically(path, (handle) => handle.writeFile(content)).catch((error) => {
    throw fileError(error, path, 'output');
  });
}

/**
 * As Python's `json.dump(…, indent=4)` writes it: other characters than ASCII as UTF-16 escapes, no newline
 * at the end.
 */
function asciiJson(value: unknown): string {
  return JSON.stringify(value, undefined, 4).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
