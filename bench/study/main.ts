/**
 * How close the modes come to the pictures of one rank, as the DistriFusion paper's tables in kind: modes x ranks x warm-up with the embedded
 * model. Writes docs/quality.md with plots and a contact sheet. What was drawn is kept in results/study and not drawn again.
 *
 * With --family pixart: the ways to share a transformer, with seeded random weights or those of --model, in docs/quality-pixart.md.
 * LPIPS and FID are measured where their networks' weights are given, as in `distri compute-metrics`.
 *
 *   npm run study -- [--images 24] [--steps 20] [--ranks 2,4,8] [--warmups 0,1,4] [--work results/study] [--output docs]
 *     [--machine "2 idle CPUs"] [--lpips_weights FILE ...] [--fid_weights FILE]
 *   npm run study -- --family pixart [--model FOLDER] [--images 4] [--steps 10] [--ranks 2,4] [--warmups 1,2,4]
 *     [--work results/study-pixart] [--lpips_weights FILE ...] [--fid_weights FILE]
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DistriError, expected, toError } from '../../src/base/errors.js';
import { watchInterruption } from '../../src/base/interruption.js';
import { embeddedModel } from '../../src/base/package.js';
import { integer } from '../../src/commands/options/parsers.js';
import { openSubject, plannedImage } from '../../src/families/plan-subject.js';
import { profileMacs } from '../../src/planning/macs.js';
import { checkClaims } from './claims.js';
import { contactSheet } from './contact-sheet.js';
import { busiestMacs, type Study, studyDocument } from './document.js';
import { type DrawnSetting, StudyDrawing, type StudyPictures, studyPrompts } from './draw.js';
import {
  alone,
  hasWarmup,
  parallelOptions,
  type Setting,
  settingName,
  studyGrid,
  studyModes,
} from './grid.js';
import { type Likeness, measurePsnr } from './likeness.js';
import { StudyNetworks } from './networks.js';
import type { StudyOptions } from './options.js';
import { writePixArtStudy } from './pixart.js';
import { plotModes, plotRanks } from './plots.js';

/** How often each setting is timed. */
const ROUNDS = 5;
/** Rows of the contact sheet. */
const SHOWN_PROMPTS = 4;

const defaults = {
  unet: { images: '24', steps: '20', ranks: '2,4,8', warmups: '0,1,4', work: 'results/study' },
  pixart: { images: '4', steps: '10', ranks: '2,4', warmups: '1,2,4', work: 'results/study-pixart' },
} as const;
type Family = keyof typeof defaults;

function isFamily(name: string): name is Family {
  return Object.hasOwn(defaults, name);
}

function readOptions(): StudyOptions & { readonly family: Family } {
  const { values } = parseArgs({
    options: {
      family: { type: 'string', default: 'unet' },
      model: { type: 'string' },
      images: { type: 'string' },
      steps: { type: 'string' },
      ranks: { type: 'string' },
      warmups: { type: 'string' },
      work: { type: 'string' },
      lpips_weights: { type: 'string', multiple: true, default: [] },
      fid_weights: { type: 'string' },
      output: { type: 'string', default: 'docs' },
      machine: { type: 'string', default: `${availableParallelism()} CPUs` },
    },
  });
  const { family, model, lpips_weights, fid_weights } = values;
  if (!isFamily(family)) throw expected(`one of ${Object.keys(defaults).join(', ')}`, '--family', family);
  if (model !== undefined && family !== 'pixart')
    throw new DistriError('usage', '--model needs --family pixart');
  const given = { ...defaults[family], ...values };
  return {
    family,
    model,
    weights: { lpips: lpips_weights, fid: fid_weights },
    images: integer('--images', 2)(given.images),
    steps: integer('--steps', 1)(given.steps),
    ranks: given.ranks.split(',').map(integer('--ranks', 2)),
    warmups: given.warmups.split(',').map(integer('--warmups', 0)),
    work: resolve(given.work),
    output: resolve(values.output),
    machine: values.machine,
  };
}

async function choosePictures({ images, steps }: StudyOptions): Promise<StudyPictures> {
  const prompts = await studyPrompts(images);
  return { prompts, steps, scheduler: 'ddim', size: 256, guidanceScale: 5 };
}

interface Drawn {
  readonly drawn: DrawnSetting[];
  readonly seconds: ReadonlyMap<string, number>;
}

async function drawAll(
  settings: readonly Setting[],
  pictures: StudyPictures,
  { work, warmups }: StudyOptions,
  interruption: AbortSignal,
): Promise<Drawn> {
  const drawing = await StudyDrawing.open(work, pictures, interruption);
  try {
    const drawn = await drawing.drawAll(settings);
    return { drawn, seconds: await drawing.time(timedSettings(settings, warmups), ROUNDS) };
  } finally {
    await drawing.close();
  }
}

/** Those with the longest warm-up, and those without one. */
function timedSettings(settings: readonly Setting[], warmups: readonly number[]): Setting[] {
  return settings.filter(({ warmupSteps }) => warmupSteps === undefined || warmupSteps === warmups.at(-1));
}

/** Of a picture, for the rank with most, by the setting's name. */
async function countMacs(
  settings: readonly Setting[],
  { size, steps }: StudyPictures,
): Promise<Map<string, number>> {
  const image = plannedImage(await openSubject({ pretrained_model_name_or_path: embeddedModel }), [size]);
  const counted = settings.map((setting): [string, number] => {
    const { parallelism, splitBatch, ...options } = parallelOptions(setting);
    const { choices } = profileMacs(image, [setting.ranks], {
      ...options,
      guided: true,
      allowSplit: splitBatch,
      parallelisms: [parallelism],
    });
    return [settingName(setting), busiestMacs(choices[0]?.ranksMacs ?? [], steps)];
  });
  return new Map(counted);
}

async function writeStudy(
  options: StudyOptions,
  networks: StudyNetworks,
  interruption: AbortSignal,
): Promise<string> {
  const { ranks, warmups, output } = options;
  const pictures = await choosePictures(options);
  const grid = studyGrid(ranks, warmups);
  const all = await drawAll([alone, ...grid], pictures, options, interruption);
  const [reference, ...drawn] = all.drawn;
  if (reference === undefined) throw new Error('nothing was drawn');
  const likenesses = [
    await measurePsnr(reference, drawn),
    ...(await networks.measure(reference, drawn, interruption)),
  ];
  const single = likenesses.filter(({ ofSets }) => !ofSets);
  const folder = join(output, 'quality');
  await mkdir(folder, { recursive: true });
  const study: Study = {
    ...{ pictures, ranks, warmups, drawn: all.drawn, likenesses, seconds: all.seconds },
    claims: single.map((likeness) => ({ likeness, claims: checkClaims(likeness, ranks, warmups) })),
    macs: await countMacs([alone, ...grid], pictures),
    missing: networks.missing,
    plots: await writePlots(likenesses, grid, folder),
    contactSheet: await writeContactSheet(all.drawn, options, pictures, folder),
    machine: options.machine,
  };
  const page = join(output, 'quality.md');
  await writeFile(page, studyDocument(study));
  return page;
}

async function writePlots(
  likenesses: readonly Likeness[],
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
      await writeFile(join(folder, name), plot(likeness, grid));
      plots.push({ file: `quality/${name}`, text: `${likeness.name} by ${by}` });
    }
  }
  return plots;
}

/** One rank and every mode, on the middle number of ranks with the middle warm-up. */
async function writeContactSheet(
  drawn: readonly DrawnSetting[],
  { ranks, warmups }: StudyOptions,
  { prompts }: StudyPictures,
  folder: string,
): Promise<Study['contactSheet']> {
  const middle = <T>(values: readonly T[]) => values[values.length >> 1] as T;
  const columns = [
    alone,
    ...studyModes.map((mode) => ({
      mode,
      ranks: middle(ranks),
      warmupSteps: hasWarmup(mode) ? middle(warmups) : undefined,
    })),
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

const interruption = watchInterruption();
try {
  const options = readOptions();
  const write = options.family === 'pixart' ? writePixArtStudy : writeStudy;
  const networks = await StudyNetworks.open(options.weights);
  console.log(await write(options, networks, interruption.signal).finally(() => networks.close()));
} catch (error) {
  console.error(`study: ${toError(error).message}`);
  process.exitCode = 1;
} finally {
  interruption.dispose();
}
