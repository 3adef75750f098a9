import { join, resolve } from 'node:path';
import { DistriError } from '../../src/base/errors.js';
import { availableCpus } from '../../src/machine/cpus.js';
import { type Given, integer, integers, oneOf, option, optional, word, words } from '../bench.js';
import type { MetricWeights } from './networks.js';

/** What a study of a family draws where nothing else is asked for. */
const defaults = {
  unet: { images: 24, steps: 20, ranks: [2, 4, 8], warmups: [0, 1, 4], work: 'drawn' },
  pixart: { images: 4, steps: 10, ranks: [2, 4], warmups: [1, 2, 4], work: 'drawn-pixart' },
} as const;

export type StudyFamily = keyof typeof defaults;
const studyFamilies = Object.keys(defaults) as readonly StudyFamily[];

/** Git ignores it; docs/ is only written where that is asked for. */
const studyFolder = join('results', 'study');

type Varying = 'images' | 'steps' | 'ranks' | 'warmups';

/** How the default of each family is told. */
function eachDefault(name: Varying): string {
  return studyFamilies.map((family) => `${defaults[family][name]} (${family})`).join(', ');
}

export const studyOptions = {
  family: option(
    oneOf(studyFamilies),
    'unet: the modes of a UNet; pixart: the ways to share a transformer',
    'unet',
  ),
  model: optional(
    word('folder'),
    'folder of a checkpoint to draw with, with --family pixart',
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
    studyFamilies.map((family) => `${join(studyFolder, defaults[family].work)} (${family})`).join(', '),
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
  const { family, model, output, machine, lpips_weights: lpips, fid_weights: fid } = given;
  if (model !== undefined && family !== 'pixart') {
    throw new DistriError('usage', '--model needs --family pixart');
  }
  const usual = defaults[family];
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
