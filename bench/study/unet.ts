import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openModel } from '../../src/app/model.js';
import { silent } from '../../src/app/observer.js';
import { countMacs } from '../../src/app/plan.js';
import { embeddedModel } from '../../src/base/package.js';
import { pictureMacs } from '../../src/planning/macs.js';
import { choiceModes, type Mode } from '../modes.js';
import { checkClaims } from './claims.js';
import { contactSheet } from './contact-sheet.js';
import { type Study, studyDocument } from './document.js';
import { type DrawnSetting, StudyDrawing, type StudyPictures, studyPrompts } from './draw.js';
import { alone, type Setting, settingName, setupOf, studyGrid, warmupsOf } from './grid.js';
import { closestFirst, type Likeness, measurePsnr } from './likeness.js';
import type { StudyNetworks } from './networks.js';
import type { StudyOptions } from './options.js';
import { plotModes, plotRanks } from './plots.js';

/** How often each setting is timed. */
const ROUNDS = 5;
/** Rows of the contact sheet. */
const SHOWN_PROMPTS = 4;

/** Writes quality.md: every mode of the embedded model's UNet against one rank. */
export async function writeUNetStudy(
  options: StudyOptions,
  networks: StudyNetworks,
  signal: AbortSignal,
): Promise<string> {
  const { ranks, warmups, output, images, steps, work } = options;
  const { model } = (await openModel(embeddedModel, {}, silent)).outline;
  const prompts = await studyPrompts(images);
  const pictures: StudyPictures = { prompts, steps, scheduler: 'ddim', size: 256, guidanceScale: 5 };
  const unordered = choiceModes(model);
  const grid = studyGrid(unordered, ranks, warmups);
  const drawing = await StudyDrawing.open(work, pictures, signal);
  const drawn = await drawing.drawAll([alone, ...grid]);
  const seconds = await drawing.time(timedSettings([alone, ...grid], warmups), ROUNDS);
  const [reference, ...others] = drawn as readonly [DrawnSetting, ...DrawnSetting[]];
  const byPsnr = await measurePsnr(reference, others);
  const likenesses = [byPsnr, ...(await networks.measure(reference, others, signal))];
  const modes = closestFirst(byPsnr, unordered, grid);
  const axes = { modes, ranks, warmups };
  const folder = join(output, 'quality');
  await mkdir(folder, { recursive: true });
  const single = likenesses.filter(({ ofSets }) => !ofSets);
  const study: Study = {
    ...{ ...axes, pictures, drawn, likenesses, seconds },
    claims: single.map((likeness) => ({ likeness, claims: checkClaims(likeness, axes) })),
    macs: await macsOf([alone, ...grid], pictures, signal),
    missing: networks.missing,
    plots: await writePlots(likenesses, modes, grid, folder),
    contactSheet: await writeContactSheet(drawn, options, modes, prompts, folder),
    machine: options.machine,
  };
  const page = join(output, 'quality.md');
  await writeFile(page, studyDocument(study));
  return page;
}

/** Those with the longest warm-up, and those without one. */
function timedSettings(settings: readonly Setting[], warmups: readonly number[]): readonly Setting[] {
  return settings.filter(({ warmupSteps }) => warmupSteps === undefined || warmupSteps === warmups.at(-1));
}

/** Multiply-accumulates of a picture, for the rank with most, by the setting's name. */
async function macsOf(
  settings: readonly Setting[],
  { size, steps }: StudyPictures,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const model = await openModel(embeddedModel, {}, silent);
  const macs = new Map<string, number>();
  for (const setting of settings) {
    const { ranks, parallelism, splitBatch, dtype: _, engine: __, ...strategyOptions } = setupOf(setting);
    const way = { ranks, parallelism, splitBatch, strategyOptions };
    const { counted } = await countMacs(model, { height: size, width: size, ...way }, signal);
    const own = counted.choices.find((choice) => choice.ranks === ranks)?.ranksMacs ?? [];
    macs.set(settingName(setting), Math.max(...own.map((rank) => pictureMacs(rank, steps))));
  }
  return macs;
}

async function writePlots(
  likenesses: readonly Likeness[],
  modes: readonly Mode[],
  grid: readonly Setting[],
  folder: string,
): Promise<Study['plots']> {
  const plots: { file: string; text: string }[] = [];
  for (const likeness of likenesses) {
    for (const [by, plot] of [
      ['modes', plotModes],
      ['ranks', plotRanks],
    ] as const) {
      const name = `${likeness.name.toLowerCase()}-${by}.svg`;
      await writeFile(join(folder, name), plot(likeness, modes, grid));
      plots.push({ file: `quality/${name}`, text: `${likeness.name} by ${by}` });
    }
  }
  return plots;
}

/** One rank and every mode, on the middle number of ranks with the middle warm-up. */
async function writeContactSheet(
  drawn: readonly DrawnSetting[],
  { ranks, warmups }: StudyOptions,
  modes: readonly Mode[],
  prompts: readonly string[],
  folder: string,
): Promise<Study['contactSheet']> {
  const middle = <T>(values: readonly T[]) => values[values.length >> 1] as T;
  const columns = [
    alone,
    ...modes.map((mode) => ({ mode, ranks: middle(ranks), warmupSteps: middle(warmupsOf(mode, warmups)) })),
  ];
  const shown = prompts.slice(0, SHOWN_PROMPTS);
  const rows = shown.map((_, index) =>
    columns.map((setting) => {
      const found = drawn.find((other) => settingName(other.setting) === settingName(setting));
      return found?.paths[index] as string;
    }),
  );
  await contactSheet(rows, join(folder, 'contact-sheet.webp'));
  return { file: 'quality/contact-sheet.webp', columns, prompts: shown };
}
