import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { openModel } from '../../src/app/model.js';
import { silent } from '../../src/app/observer.js';
import { embeddedModel } from '../../src/base/package.js';
import { type DeviceChoice, deviceChoices, deviceText, referenceDevice } from '../../src/engine/device.js';
import { completeOptions, defaultStrategy } from '../../src/parallel/registry.js';
import { markdownTable } from '../markdown.js';
import { choiceModes, type Mode } from '../modes.js';
import { likenessCell } from './document.js';
import { type DrawnSetting, StudyDrawing, type StudyPictures, studyPrompts } from './draw.js';
import { alone, type Setting, studyGrid } from './grid.js';
import { compareSettings, type Likeness, measureLatents, measurePsnr } from './likeness.js';
import type { StudyNetworks } from './networks.js';
import type { StudyOptions } from './options.js';

/** Writes quality-dtypes.md: engines and element types beside what ranks do to a picture that share it. */
export async function writeDtypesStudy(
  { ranks, warmups, output, images, steps, work }: StudyOptions,
  networks: StudyNetworks,
  signal: AbortSignal,
): Promise<string> {
  const { model } = (await openModel(embeddedModel, {}, silent)).outline;
  const prompts = await studyPrompts(images);
  const pictures: StudyPictures = { prompts, steps, scheduler: 'ddim', size: 256, guidanceScale: 5 };
  const others = deviceChoices.filter((device) => !isDeepStrictEqual(device, referenceDevice));
  const shared = studyGrid([usualMode(choiceModes(model))], ranks, warmups);
  const grid = [
    ...others.map((device): Setting => ({ ...alone, device })),
    ...shared,
    ...others.flatMap((device) => shared.map((setting): Setting => ({ ...setting, device }))),
  ];
  const drawing = await StudyDrawing.open(work, pictures, signal);
  const [reference, ...drawn] = (await drawing.drawAll([alone, ...grid])) as readonly [
    DrawnSetting,
    ...DrawnSetting[],
  ];
  const likenesses = [
    await measurePsnr(reference, drawn),
    ...(await networks.measure(reference, drawn, signal)),
    await measureLatents(reference, drawn),
  ];
  const page = join(output, 'quality-dtypes.md');
  await mkdir(output, { recursive: true });
  await writeFile(page, dtypesDocument(pictures, grid, likenesses, networks.missing));
  return page;
}

/** How ranks share a picture where nobody says how. */
function usualMode(modes: readonly Mode[]): Mode {
  const usual = completeOptions(defaultStrategy, {});
  const found = modes.find(
    ({ parallelism, options }) =>
      parallelism === defaultStrategy && isDeepStrictEqual(completeOptions(parallelism, options), usual),
  );
  if (!found) throw new Error('no mode is as by default');
  return found;
}

function dtypesDocument(
  { prompts, steps, scheduler, size, guidanceScale }: StudyPictures,
  grid: readonly Setting[],
  likenesses: readonly Likeness[],
  missing: readonly string[],
): string {
  return `# How close element types and engines come to each other

Made by \`npm run study -- --of dtypes\`: the first ${prompts.length} captions of shapes-val drawn with the embedded model by
1 rank in ${deviceText(referenceDevice)}, and again in every other element type and by every other engine, by 1
rank and by ranks that share a picture as they do by default, and compared with the pictures of the former.
${size} px, ${scheduler}, ${steps} steps, guidance ${guidanceScale}, picture i with seed i, whole batches, the VAE on the first rank.
Repeated on the same CPU, everything comes out the same to the bit.
${missing.map((text) => `\n**Not measured:** ${text}\n`).join('')}
Means over the pictures. ${likenesses.map(({ name, unit, better }) => `${name}${unit === '' ? '' : `: ${unit}`}, ${better} is closer`).join('; ')}.

${markdownTable(
  ['drawn by', 'in', ...likenesses.map(({ name }) => name)],
  grid.map((setting) => [
    ranksText(setting),
    deviceText(setting.device ?? referenceDevice),
    ...likenesses.map((likeness) => likenessCell(likeness, setting)),
  ]),
)}

## Against what sharing a picture does

By how much each element type on 1 rank is closer to the reference than ranks that share the picture in
${deviceText(referenceDevice)}, picture by picture: the mean difference and its standard error.

${differencesTable(grid, likenesses)}
`;
}

function differencesTable(grid: readonly Setting[], likenesses: readonly Likeness[]): string {
  const own = grid.filter(({ ranks }) => ranks === 1);
  const shared = grid.filter(({ ranks, device }) => ranks > 1 && device === undefined);
  const single = likenesses.filter(({ ofSets }) => !ofSets);
  return markdownTable(
    ['1 rank in', 'is closer than', ...single.map(({ name }) => `by ${name}`)],
    own.flatMap((setting) =>
      shared.map((other) => [
        deviceText(setting.device as DeviceChoice),
        ranksText(other),
        ...single.map((likeness) => {
          const { difference, error } = compareSettings(likeness, setting, other);
          return `${difference.toFixed(likeness.digits)} ± ${error.toFixed(likeness.digits)}`;
        }),
      ]),
    ),
  );
}

function ranksText({ mode, ranks, warmupSteps }: Setting): string {
  if (ranks === 1) return '1 rank';
  return `${ranks} ranks, ${mode.name}${warmupSteps === undefined ? '' : `, warm-up ${warmupSteps}`}`;
}
