import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { openModel } from '../../src/app/model.js';
import { silent } from '../../src/app/observer.js';
import { pixArt } from '../../src/families/pixart.js';
import { seededCheckpoint } from '../../test/support/seeded-checkpoint.js';
import { strategyModes } from '../modes.js';
import { likenessTable, type Tabled } from './document.js';
import { type DrawnSetting, StudyDrawing, type StudyPictures, studyPrompts } from './draw.js';
import { alone, studyGrid } from './grid.js';
import { closestFirst, type Likeness, measureLatents, measurePsnr } from './likeness.js';
import type { StudyNetworks } from './networks.js';
import type { StudyOptions } from './options.js';

/** Writes quality-pixart.md: each way to share a transformer against one rank. */
export async function writePixArtStudy(
  options: StudyOptions,
  networks: StudyNetworks,
  signal: AbortSignal,
): Promise<string> {
  const { ranks, warmups, output, steps, images, work, model: given } = options;
  const directory = given ?? (await seededModel(work));
  const { model } = (await openModel(directory, {}, silent, pixArt)).outline;
  const unordered = strategyModes(model);
  const grid = studyGrid(unordered, ranks, warmups);
  const pictures: StudyPictures = {
    ...{ prompts: await studyPrompts(images), steps, scheduler: 'dpm-solver', size: 256, guidanceScale: 4.5 },
    model: directory,
  };
  const drawing = await StudyDrawing.open(join(work, 'pictures'), pictures, signal);
  const drawn = await drawing.drawAll([alone, ...grid]);
  const [reference, ...others] = drawn as readonly [DrawnSetting, ...DrawnSetting[]];
  const byLatents = await measureLatents(reference, others);
  const likenesses = [
    byLatents,
    await measurePsnr(reference, others),
    ...(await networks.measure(reference, others, signal)),
  ];
  const table = { modes: closestFirst(byLatents, unordered, grid), ranks, warmups, drawn };
  const page = join(output, 'quality-pixart.md');
  await mkdir(output, { recursive: true });
  await writeFile(page, pixArtDocument(table, pictures, given, likenesses, networks.missing));
  return page;
}

/**
 * A small transformer with random weights that predicts velocities: of noise predicted at random the first
 * steps would be divided by the square root of nearly nothing.
 */
async function seededModel(work: string): Promise<string> {
  const folder = join(work, 'tiny-pixart');
  await rm(folder, { recursive: true, force: true });
  await cp(await seededCheckpoint('tiny-pixart'), folder, { recursive: true });
  const path = join(folder, 'scheduler', 'scheduler_config.json');
  const config = await readFile(path, 'utf8');
  const changed = config.replace('"prediction_type": "epsilon"', '"prediction_type": "v_prediction"');
  if (changed === config) throw new Error(`${path} has no prediction_type epsilon`);
  await writeFile(path, changed);
  return folder;
}

const untrained = `
**The network is not trained** (8 layers, seeded random weights, told to predict velocities): a figure says
how far a mode's computation drifts from that of one rank, not how good pictures look, and a trained network
may drift more or less. \`npm run study -- --of pixart --model FOLDER\` makes the same page with a trained
one.
`;

function pixArtDocument(
  table: Tabled,
  { prompts, steps, scheduler, size, guidanceScale }: StudyPictures,
  model: string | undefined,
  likenesses: readonly Likeness[],
  missing: readonly string[],
): string {
  const subject = model === undefined ? 'a tiny PixArt with random weights' : basename(model);
  return `# How close the ways to share a PixArt come to one rank

Made by \`npm run study -- --of pixart\`: ${prompts.length} captions drawn with ${subject} by 1 rank, and
again with each way to share it, number of ranks N and warm-up, and compared with 1 rank. ${size} px,
${scheduler}, ${steps} steps, guidance ${guidanceScale}, picture i with seed i, whole batches; pipefusion has
N patches. Of a warm-up n, patch has n + 1 synchronous steps, pipefusion n. Modes are in the order of how
close they come.
${model === undefined ? untrained : ''}${missing.map((text) => `\n**Not measured:** ${text}\n`).join('')}
${likenesses.map((likeness) => likenessTable(table, likeness)).join('\n')}`;
}
