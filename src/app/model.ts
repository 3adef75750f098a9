import { basename, resolve } from 'node:path';
import type { JsonObject } from '../base/json.js';
import { embeddedModel } from '../base/package.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { type Architecture, architectureConfigs, readArchitecture } from '../families/architectures.js';
import type { Family, Outline } from '../families/family.js';
import { openCheckpoint } from '../families/open-checkpoint.js';
import { familyOf, requireFamily } from '../families/registry.js';
import { type Observer, withByteProgress } from './observer.js';
import type { ModelOptions } from './options.js';

/** A model of which configs are read: enough to plan and to refuse. */
export interface OpenModel {
  /** As it was given: a path, a hub id or the name of an architecture. */
  readonly given: string;
  /** As people call it. */
  readonly name: string;
  readonly family: Family;
  readonly outline: Outline;
  /** scheduler_config.json. */
  readonly scheduler: JsonObject;
  readonly variant: string | undefined;
  /** What is drawn where nobody says what. */
  readonly prompt: string;
  /** Where weights come from. */
  readonly source:
    | { readonly kind: 'checkpoint'; readonly checkpoint: Checkpoint }
    | { readonly kind: 'random'; readonly architecture: Architecture };
}

/** Parts of a checkpoint that diffusers would run and distri does not. */
const ignoredComponents = ['safety_checker', 'image_encoder'];

/**
 * Opens the model called `given`, downloading what of it is missing. With a `family` models of others are
 * refused. Errors: `checkpoint`, `network`, `unsupported`, `usage`.
 */
export async function openModel(
  given: string,
  { variant, revision, randomWeights }: ModelOptions,
  observer: Observer,
  family?: Family,
): Promise<OpenModel> {
  if (randomWeights) return openArchitecture(given, family);
  const name = modelName(given);
  const checkpoint = await withByteProgress(observer, `downloading ${name}`, (onProgress) =>
    openCheckpoint(given, { variant, revision, onProgress, onNote: (line) => observer.note(line) }),
  );
  if (family !== undefined) requireFamily(checkpoint, family);
  for (const component of ignoredComponents) {
    if (checkpoint.has(component)) observer.note(`${component} is not run`);
  }
  const found = familyOf(checkpoint);
  return {
    given,
    name,
    family: found,
    outline: await found.outline(checkpoint),
    scheduler: await checkpoint.config('scheduler'),
    variant,
    prompt: examplePrompt(given, found),
    source: { kind: 'checkpoint', checkpoint },
  };
}

async function openArchitecture(given: string, family: Family | undefined): Promise<OpenModel> {
  const architecture = await readArchitecture(given, family);
  const configs = architectureConfigs(architecture);
  return {
    given,
    name: given,
    family: architecture.family,
    outline: await architecture.family.outline(configs),
    scheduler: await configs.config('scheduler'),
    variant: undefined,
    prompt: '',
    source: { kind: 'random', architecture },
  };
}

/** What is drawn with the model `given` where nobody says what. */
export function examplePrompt(given: string, { embedded, defaults }: Family): string {
  return embedded && isSameFolder(given, embedded.model) ? embedded.prompt : defaults.prompt;
}

/** A folder's name, or the id on the hub. */
export function modelName(given: string): string {
  return isSameFolder(given, embeddedModel) || /^[./]/.test(given) ? basename(resolve(given)) : given;
}

function isSameFolder(a: string, b: string): boolean {
  return resolve(a) === resolve(b);
}
