import { DistriError } from '../base/errors.js';
import { quote } from '../base/quote.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import type { Family } from './family.js';
import { flux } from './flux.js';
import { pixArt } from './pixart.js';
import { stableDiffusion } from './stable-diffusion.js';
import { stableDiffusionXL } from './stable-diffusion-xl.js';

/** The kinds of models that there are, in the order of lists. */
export const families: readonly Family[] = [stableDiffusionXL, stableDiffusion, pixArt, flux];

/** The family of this name, which is one of `families`. */
export function familyNamed(name: string): Family {
  const family = families.find((candidate) => candidate.name === name);
  if (family === undefined) throw new Error(`there is no family ${name}`);
  return family;
}

/** The family of a checkpoint. */
export function familyOf({
  directory,
  pipelineClass,
}: Pick<Checkpoint, 'directory' | 'pipelineClass'>): Family {
  const family = families.find((candidate) => candidate.pipelineClass === pipelineClass);
  if (family !== undefined) return family;
  throw new DistriError(
    'checkpoint',
    `${directory}: pipeline class ${quote(pipelineClass)} is not supported; ` +
      `supported: ${families.map((known) => known.pipelineClass).join(', ')}`,
  );
}

/** Refuses a checkpoint of another family than `wanted`, and says which command draws with it. */
export function requireFamily(
  checkpoint: Pick<Checkpoint, 'directory' | 'pipelineClass'>,
  wanted: Family,
): void {
  const found = familyOf(checkpoint);
  if (found === wanted) return;
  throw new DistriError(
    'checkpoint',
    `${checkpoint.directory}: expected a checkpoint of ${wanted.title} (${wanted.pipelineClass}) but found one of ` +
      `${found.title}; distri run-${found.name} draws with it`,
  );
}
