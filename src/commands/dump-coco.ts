import { join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { openDataset } from '../app/coco/dataset.js';
import { fileError, writeAtomically } from '../base/file-io.js';
import { makeFolders } from '../base/folders.js';
import { choosePrompts, type ImageReader } from '../datasets/caption-dataset.js';
import { EMBEDDED_DATASET } from '../datasets/open.js';
import { convertToPng } from '../images/convert.js';
import { datasetOption } from './options/coco.js';
import { integer, text } from './options/parsers.js';
import { Terminal } from './output/terminal.js';

const examples = `
Examples:
  distri dump-coco
  distri dump-coco --limit 64 --output_root shapes
  distri dump-coco --dataset HuggingFaceM4/COCO --limit 5000
  distri dump-coco --dataset path/to/coco --output_root ground-truth`;

interface DumpOptions {
  readonly dataset: string;
  readonly output_root: string;
  readonly limit?: number;
}

/** `distri dump-coco`. Names and defaults of distrifuser's scripts/dump_coco.py; `--dataset` and `--limit` are distri's. */
export function dumpCocoCommand(interruption: AbortSignal): Command {
  const command = new Command('dump-coco')
    .description(
      "Write a data set's images as PNG, and the captions that generate-coco draws as prompts.json.",
    )
    .addHelpText('after', examples)
    .addOption(datasetOption().default(EMBEDDED_DATASET))
    .addOption(
      new Option('--output_root <folder>', 'where prompts.json and images/ go')
        .argParser(text('--output_root'))
        .default('./coco'),
    )
    .addOption(
      new Option('--limit <n>', 'only the first n images (default: all)').argParser(integer('--limit', 1)),
    );
  return command.action(async (_options, { optsWithGlobals }: Command) => {
    const options = optsWithGlobals.call(command) as DumpOptions & { quiet?: true; verbose?: true };
    const verbosity = options.quiet ? 'quiet' : options.verbose ? 'verbose' : 'normal';
    await dumpCoco(options, new Terminal(verbosity), interruption);
  });
}

async function dumpCoco(options: DumpOptions, terminal: Terminal, interruption: AbortSignal): Promise<void> {
  const dataset = await openDataset(options.dataset, { terminal, interruption });
  const prompts = choosePrompts(dataset).slice(0, options.limit);
  const reader = await dataset.openImages();
  try {
    await reader.check(prompts.length);
    const root = resolve(options.output_root);
    await writeImages(reader, prompts.length, join(root, 'images'), terminal, interruption);
    // Last, so that a folder with prompts has all images.
    await writeOutput(join(root, 'prompts.json'), asciiJson(prompts));
    terminal.note(`${prompts.length} images of ${dataset.name}`);
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
  interruption: AbortSignal,
): Promise<void> {
  await makeFolders(folder).catch((error) => {
    throw fileError(error, folder, 'output');
  });
  const progress = terminal.progress(count, 'images');
  try {
    for (let index = 0; index < count; index++) {
      interruption.throwIfAborted();
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

/** As Python's `json.dump(…, indent=4)` writes it: other characters than ASCII as UTF-16 escapes, no newline at the end. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value, undefined, 4).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
