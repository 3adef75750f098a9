import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DistriError } from '../base/errors.js';
import { fileError, systemErrorCode } from '../base/file-io.js';
import { type JsonObject, readJsonObject } from '../base/json.js';
import { quote } from '../base/quote.js';
import type { ComponentSource } from './component-source.js';
import type { HubOptions } from './hub/hub.js';
import { isHubId } from './hub/id.js';
import { type Layouts, layoutOf } from './layouts.js';
import { loadWeights, type WeightOptions, type WeightSource } from './weights.js';

/** A checkpoint in diffusers' layout: model_index.json and a folder for each component. */
export interface Checkpoint extends ComponentSource {
  /** Of model_index.json; one of the layouts. */
  readonly pipelineClass: string;
  /** True for components that model_index.json names and does not set to null. */
  has(component: string): boolean;
}

const INDEX_NAME = 'model_index.json';

/**
 * Opens a checkpoint of one of the `layouts` by the path of its folder or by its id on the Hugging Face hub,
 * in this order, as `DiffusionPipeline.from_pretrained` does. Whatever is not laid out as it should be is a
 * `checkpoint` error.
 */
export async function openCheckpointOf(
  layouts: Layouts,
  nameOrPath: string,
  options: HubOptions = {},
): Promise<Checkpoint> {
  const directory = await resolveDirectory(nameOrPath, layouts, options);
  const modelIndex = await readModelIndex(directory);
  const pipelineClass = modelIndex._class_name;
  const components = layoutOf(layouts, pipelineClass);
  if (typeof pipelineClass !== 'string' || components === undefined) {
    throw new DistriError(
      'checkpoint',
      `${join(directory, INDEX_NAME)}: pipeline class ${quote(pipelineClass)} is not supported; ` +
        `supported: ${Object.keys(layouts).join(', ')}`,
    );
  }
  const checkpoint = new DiffusersCheckpoint(directory, pipelineClass, modelIndex, options.variant);
  await checkComponents(checkpoint, components);
  return checkpoint;
}

class DiffusersCheckpoint implements Checkpoint {
  constructor(
    readonly directory: string,
    readonly pipelineClass: string,
    readonly modelIndex: Readonly<JsonObject>,
    private readonly variant: string | undefined,
  ) {}

  has(component: string): boolean {
    const entry = this.modelIndex[component];
    return Array.isArray(entry) && typeof entry[1] === 'string';
  }

  config(component: string): Promise<JsonObject> {
    return readJsonObject(join(this.directory, component, configName(component)));
  }

  weights(component: string, options: WeightOptions = {}): Promise<WeightSource> {
    return loadWeights(this.directory, component, { variant: this.variant, ...options });
  }
}

/** diffusers names a scheduler's and transformers a tokenizer's file by its kind. */
function configName(component: string): string {
  const kind = /^(?:scheduler|tokenizer)/.exec(component)?.[0];
  return kind === undefined ? 'config.json' : `${kind}_config.json`;
}

async function resolveDirectory(nameOrPath: string, layouts: Layouts, options: HubOptions): Promise<string> {
  const kind = await kindOf(nameOrPath);
  if (kind === 'folder') return resolve(nameOrPath);
  if (kind === 'other') {
    throw new DistriError(
      'checkpoint',
      `${nameOrPath}: a file, but a checkpoint is a folder in diffusers' layout with ${INDEX_NAME}`,
    );
  }
  if (isHubId(nameOrPath)) {
    // Loaded here, because the hub's library takes 0.1 s to load, and every rank opens checkpoints by path.
    const { resolveHubId } = await import('./hub/hub.js');
    return resolveHubId(nameOrPath, layouts, options);
  }
  throw new DistriError(
    'checkpoint',
    `${nameOrPath}: no such folder, and not an id of the Hugging Face hub such as organization/name`,
  );
}

async function readModelIndex(directory: string): Promise<JsonObject> {
  const path = join(directory, INDEX_NAME);
  if ((await kindOf(path)) === 'absent') {
    const hint =
      (await kindOf(join(directory, 'config.json'))) === 'other' ? ', perhaps one component of it' : '';
    throw new DistriError(
      'checkpoint',
      `${directory}: not a checkpoint in diffusers' layout${hint}: it has no ${INDEX_NAME}`,
    );
  }
  return readJsonObject(path);
}

async function checkComponents(checkpoint: Checkpoint, components: readonly string[]): Promise<void> {
  const { directory, modelIndex, pipelineClass } = checkpoint;
  for (const component of components) {
    if (!checkpoint.has(component)) {
      throw new DistriError(
        'checkpoint',
        `${join(directory, INDEX_NAME)}: ${pipelineClass} needs the component ${component}, which is ` +
          `${quote(modelIndex[component])} here`,
      );
    }
    if ((await kindOf(join(directory, component))) !== 'folder') {
      throw new DistriError(
        'checkpoint',
        `${directory}: has no folder ${component}, which ${INDEX_NAME} names; copy the whole checkpoint`,
      );
    }
  }
}

async function kindOf(path: string): Promise<'folder' | 'other' | 'absent'> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'other';
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') return 'absent';
    throw fileError(error, path);
  }
}
