import { mean } from '../../src/base/numbers.js';
import { markdownTable } from '../markdown.js';
import type { CheckedClaim, CheckedPair, StudyAxes } from './claims.js';
import type { DrawnSetting, StudyPictures } from './draw.js';
import { alone, type Setting, settingName, warmupsOf } from './grid.js';
import { type Likeness, meanLikeness } from './likeness.js';

/** All that docs/quality.md says. */
export interface Study extends StudyAxes {
  readonly pictures: StudyPictures;
  readonly drawn: readonly DrawnSetting[];
  readonly likenesses: readonly Likeness[];
  /** For each measure of single pictures. */
  readonly claims: readonly { readonly likeness: Likeness; readonly claims: readonly CheckedClaim[] }[];
  /** Of a picture, by the setting's name; only for the longest warm-up. */
  readonly seconds: ReadonlyMap<string, number>;
  /** Of the rank with most, of one picture, by the setting's name. */
  readonly macs: ReadonlyMap<string, number>;
  /** What was not measured, and why. */
  readonly missing: readonly string[];
  /** Names of the pictures that the page shows, next to it. */
  readonly plots: readonly { readonly file: string; readonly text: string }[];
  readonly contactSheet: {
    readonly file: string;
    readonly columns: readonly Setting[];
    readonly prompts: readonly string[];
  };
  readonly machine: string;
}

export function studyDocument(study: Study): string {
  const { prompts, steps, scheduler, size, guidanceScale } = study.pictures;
  const [first] = study.likenesses;
  return `# How close the modes come to one rank

Made by \`npm run study\`: the first ${prompts.length} captions of shapes-val drawn with the embedded model by
1 rank, and again with every mode, number of ranks and warm-up, and compared with the pictures of the 1 rank.
${size} px, ${scheduler}, ${steps} steps, guidance ${guidanceScale}, picture i with seed i; all ranks share
one whole batch, as in the tables of the [DistriFusion](https://arxiv.org/abs/2402.19481) paper. A warm-up of
n has n + 1 synchronous steps of the ${steps}. Modes are in the order of how close they come by
${first?.name}. Repeated on the same CPU, everything but the seconds comes out the same to the bit.
[Element types](quality-dtypes.md) are compared in the same way.
${study.missing.map((text) => `\n**Not measured:** ${text}\n`).join('')}
${study.likenesses.map((likeness) => likenessTable(study, likeness)).join('\n')}
## What they compute, and how long it takes

Multiply-accumulates of a picture for the rank with most, and its share of what one rank has. Seconds are the
fastest of 5 pictures, drawn in turns on ${study.machine}: more ranks than CPUs share them, so this tells what
the modes cost beside each other, not how fast many devices are.

${costTable(study)}

## Against the paper

The paper (SDXL, 1024 px, 50 steps, warm-up 4) has LPIPS 0.207, 0.211, 0.247 and 0.317 for sync_gn,
corrected_async_gn, stale_gn and separate_gn on 8 devices, 0.146, 0.183 and 0.211 for corrected_async_gn on 2,
4 and 8, and 0.596, 0.753 and 0.857 for naive patches. Here each pair of settings is compared picture by
picture. *yes* and *no*: the mean difference is more than two standard errors; *open*: it is not.

${study.claims.map(({ likeness, claims }) => claimsText(claims, likeness)).join('\n')}
## Pictures

${study.plots.map(({ file, text }) => `![${text}](${file})`).join('\n\n')}

${sheetText(study)}
`;
}

/** What a table of a measure is about. */
export type Tabled = StudyAxes & Pick<Study, 'drawn'>;

export function likenessTable({ modes, ranks, warmups, drawn }: Tabled, likeness: Likeness): string {
  const { name, unit, better } = likeness;
  const head = ['mode', 'warm-up', ...ranks.map((count) => `${count} ranks`)];
  const rows = modes.flatMap((mode) =>
    warmupsOf(mode, warmups).map((warmupSteps) => [
      mode.name,
      warmupSteps === undefined ? '' : String(warmupSteps),
      ...ranks.map((count) => likenessCell(likeness, { mode, ranks: count, warmupSteps })),
    ]),
  );
  const equal = drawn.some(({ setting }) => count(likeness, setting) > 0)
    ? " In brackets: pictures that equal one rank's, which the mean leaves out."
    : '';
  const of = likeness.ofSets ? 'All pictures together' : 'Mean over the pictures';
  const measure = `${of}${unit === '' ? '' : `, ${unit}`}; ${better} is closer.${equal}`;
  return `## ${name}\n\n${measure}\n\n${markdownTable(head, rows)}\n`;
}

/** The mean of a setting, and in brackets how many pictures equal one rank's. */
export function likenessCell(likeness: Likeness, setting: Setting): string {
  const { digits } = likeness;
  const average = meanLikeness(likeness, setting);
  const equal = count(likeness, setting);
  if (average === undefined) return 'all equal';
  const value = average !== 0 && average < 10 ** -digits ? average.toExponential(1) : average.toFixed(digits);
  return `${value}${equal > 0 ? ` (${equal})` : ''}`;
}

/** Pictures that equal one rank's. */
function count({ perPicture }: Likeness, setting: Setting): number {
  return (perPicture.get(settingName(setting)) ?? []).filter((value) => !Number.isFinite(value)).length;
}

function costTable({ modes, ranks, warmups, seconds, macs }: Study): string {
  const whole = macs.get(settingName(alone)) ?? Number.NaN;
  const cost = (setting: Setting) => {
    const own = macs.get(settingName(setting)) ?? Number.NaN;
    const share = `${(own / 1e9).toFixed(1)} G (${((100 * own) / whole).toFixed(0)} %)`;
    return `${share}, ${seconds.get(settingName(setting))?.toFixed(2)} s`;
  };
  const warmupSteps = warmups.at(-1);
  const rows = modes.map((mode) => [
    mode.name,
    ...ranks.map((count) => cost({ mode, ranks: count, warmupSteps: warmupsOf(mode, warmups).at(-1) })),
  ]);
  const one = ['1 rank', ...ranks.map((_, index) => (index === 0 ? cost(alone) : ''))];
  return markdownTable(
    [`mode (warm-up ${warmupSteps})`, ...ranks.map((count) => `${count} ranks`)],
    [one, ...rows],
  );
}

function claimsText(claims: readonly CheckedClaim[], likeness: Likeness): string {
  const head = [`by ${likeness.name}`, 'closer on average by', 'yes', 'no', 'open', 'not so'];
  const rows = claims.map(({ text, pairs }) => [
    text,
    `${mean(pairs.map(({ difference }) => difference)).toFixed(likeness.digits)} ${likeness.unit}`.trimEnd(),
    ...(['yes', 'no', 'open'] as const).map((verdict) =>
      String(pairs.filter((pair) => pair.verdict === verdict).length),
    ),
    pairs
      .filter(({ verdict }) => verdict === 'no')
      .map((pair) => pairText(pair, likeness))
      .join('; '),
  ]);
  return `${markdownTable(head, rows)}\n`;
}

/** Such as "4 ranks, warm-up 1: -0.31 ± 0.05 dB". */
function pairText({ closer, than, difference, error }: CheckedPair, { unit, digits }: Likeness): string {
  const where = [
    closer.mode === than.mode ? closer.mode.name : '',
    closer.ranks === than.ranks ? `${closer.ranks} ranks` : `${closer.ranks} and ${than.ranks} ranks`,
    closer.warmupSteps === than.warmupSteps || than.warmupSteps === undefined
      ? `warm-up ${closer.warmupSteps}`
      : `warm-up ${closer.warmupSteps} and ${than.warmupSteps}`,
  ].filter((part) => part !== '');
  return `${where.join(', ')}: ${difference.toFixed(digits)} ± ${error.toFixed(digits)} ${unit}`.trimEnd();
}

function sheetText({ contactSheet: { file, columns, prompts } }: Study): string {
  const names = columns.map((setting) => (setting.ranks === 1 ? '1 rank' : setting.mode.name));
  const [, shown] = columns;
  const warmed = columns.find(({ warmupSteps }) => warmupSteps !== undefined);
  const where = `${shown?.ranks} ranks, warm-up ${warmed?.warmupSteps}`;
  return `${names.join(', ')} (${where}); from top to bottom:
${prompts.map((prompt) => `*${prompt}*`).join('; ')}.

![contact sheet](${file})`;
}
