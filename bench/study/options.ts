import { join, resolve } from 'node:path';
import { DistriError } from '../../src/base/errors.js';
import { availableCpus } from '../../src/machine/cpus.js';
import { type Given, integer, integers, oneOf, option, optional, word, words } from '../bench.js';
import type { MetricWeights } from './networks.js';

/** What a study of a subject draws where nothing else is asked for. */
const defaults = {
  unet: { images: 24, steps: 20, ranks: [2, 4, 8], warmups: [0, 1, 4], work: 'drawn' },
  pixart: { images: 4, steps: 10, ranks: [2, 4], warmups: [1, 2, 4], work: 'drawn-pixart' },
  dtypes: { images: 24, steps: 20, ranks: [2], warmups: [0, 1, 4], work: 'drawn-dtypes' },
} as const;

export type StudySubject = keyof typeof defaults;
const studySubjects = Object.keys(defaults) as readonly StudySubject[];

/** Git ignores it; docs/ is only written where that is asked for. */
const studyFolder = join('results', 'study');

type Varying = 'images' | 'steps' | 'ranks' | 'warmups';

/** How the default of each subject is told. */
function eachDefault(name: Varying): string {
  return studySubjects.map((subject) => `${defaults[subject][name]} (${subject})`).join(', ');
}

export const studyOptions = {
  of: option(
    oneOf(studySubjects),
    'unet: the modes of a UNet; pixart: the ways to share a transformer; dtypes: engines and element types',
    'unet',
  ),
  model: optional(
    word('folder'),
    'folder of a checkpoint to draw with, with --of pixart',
    'a tiny transformer with random weights',
  ),
  images: optional(integer(2), 'captions that are drawn', eachDefault('images')),
  steps: optional(integer(), 'steps of a picture', eachDefault('steps')),
  ranks: optional(integers(2), 'numbers of ranks beside 1', eachDefault('ranks')),
  warmups: optional(integers(0), 'warm-ups of what has one', eachDefault('warmups')),
  output: option(word('folder'), 'folder of the page and its pictures', studyFolder),
  work: optional(
    word('folder'),
    'folder of what is drawn; what is there is not drawn again',
    studySubjects.map((subject) => `${join(studyFolder, defaults[subject].work)} (${subject})`).join(', '),
  ),
  machine: option(word('text'), 'what the seconds were measured on', `${availableCpus().count} CPUs`),
  lpips_weights: option(
    words('file'),
    "weights of AlexNet and of LPIPS' heads, as of `distri compute-metrics`; repeat",
    [],
  ),
  fid_weights: optional(word('file'), 'weights of Inception, likewise'),
};

export interface StudyOptions {
  readonly images: number;
  readonly steps: number;
  readonly ranks: readonly number[];
  readonly warmups: readonly number[];
  readonly work: string;
  readonly output: string;
  /** What the seconds were measured on. */
  readonly machine: string;
  readonly weights: MetricWeights;
  /** A folder; only of PixArt. */
  readonly model: string | undefined;
}

/** What was given, and the family's defaults for the rest. */
export function completeStudyOptions(given: Given<typeof studyOptions>): StudyOptions {
  const { of: subject, model, output, machine, lpips_weights: lpips, fid_weights: fid } = given;
  if (model !== undefined && subject !== 'pixart') {
    throw new DistriError('usage', '--model needs --of pixart');
  }
  const usual = defaults[subject];
  return {
    images: given.images ?? usual.images,
    steps: given.steps ?? usual.steps,
    ranks: given.ranks ?? usual.ranks,
    warmups: given.warmups ?? usual.warmups,
    work: resolve(given.work ?? join(studyFolder, usual.work)),
    output: resolve(output),
    machine,
    weights: { lpips, fid },
    model: model && resolve(model),
  };
}
