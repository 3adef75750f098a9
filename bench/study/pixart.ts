import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { seededCheckpoint } from '../../test/support/seeded-checkpoint.js';
import { likenessTable, type Tabled } from './document.js';
import { StudyDrawing, type StudyPictures, studyPrompts } from './draw.js';
import { alone, studyGrid, transformerModes } from './grid.js';
import { type Likeness, measureLatents, measurePsnr } from './likeness.js';
import type { StudyNetworks } from './networks.js';
import type { StudyOptions } from './options.js';

/** Writes docs/quality-pixart.md: each way to share a transformer against one rank. */
export async function writePixArtStudy(
  options: StudyOptions,
  networks: StudyNetworks,
  interruption: AbortSignal,
): Promise<string> {
  const { ranks, warmups, output, steps, images, work, model } = options;
  const directory = model === undefined ? await seededModel(work) : resolve(model);
  const pictures: StudyPictures = {
    ...{ prompts: await studyPrompts(images), steps, scheduler: 'dpm-solver', size: 256, guidanceScale: 4.5 },
    model: { directory, pipelineClass: 'PixArtAlphaPipeline' },
  };
  const drawing = await StudyDrawing.open(join(work, 'pictures'), pictures, interruption);
  const settings = [alone, ...studyGrid(ranks, warmups, transformerModes)];
  const all = await drawing.drawAll(settings).finally(() => drawing.close());
  const [reference, ...drawn] = all;
  if (reference === undefined) throw new Error('nothing was drawn');
  const likenesses = [
    await measureLatents(reference, drawn),
    await measurePsnr(reference, drawn),
    ...(await networks.measure(reference, drawn, interruption)),
  ];
  const page = join(output, 'quality-pixart.md');
  const table = { modes: transformerModes, ranks, warmups, drawn: all };
  await mkdir(output, { recursive: true });
  await writeFile(page, pixArtDocument(table, pictures, model, likenesses, networks.missing));
  return page;
}

/**
 * A small transformer with random weights that predicts velocities: of noise predicted at random the first steps would be divided by the
 * square root of nearly nothing.
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

function pixArtDocument(
  table: Tabled,
  { prompts, steps, scheduler, size, guidanceScale }: StudyPictures,
  model: string | undefined,
  likenesses: readonly Likeness[],
  missing: readonly string[],
): string {
  const subject = model === undefined ? 'a tiny PixArt with random weights' : basename(model);
  const warning =
    model === undefined
      ? `
**The network is not trained** (8 layers, seeded random weights, told to predict velocities): a figure says how far a mode's computation drifts from that of one rank, not how good pictures look, and a
trained network may drift more or less. \`npm run study -- --family pixart --model FOLDER\` makes the same page with a trained one.
`
      : '';
  return `# How close the ways to share a PixArt come to one rank

Made by \`npm run study -- --family pixart\`: ${prompts.length} captions drawn with ${subject} by 1 rank, and again with each way to share it, number of ranks N and warm-up, and compared with
1 rank. ${size} px, ${scheduler}, ${steps} steps, guidance ${guidanceScale}, picture i with seed i, whole batches; pipefusion has N patches. Of a warm-up n, patch has n + 1 synchronous steps, pipefusion n.
${warning}${missing.map((text) => `\n**Not measured:** ${text}\n`).join('')}
${likenesses.map((likeness) => likenessTable(table, likeness)).join('\n')}`;
}
