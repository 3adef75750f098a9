import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readJson } from '../../src/checkpoint/json.js';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.js';
import { seededCheckpoint } from './seeded-checkpoint.js';

const kept = fileURLToPath(new URL('../../../test/golden/dit', import.meta.url));
/** Reference data of diffusion transformers: the kept selection, or the full set in the folder that DISTRI_GOLDEN_DIT names. */
const folder = process.env.DISTRI_GOLDEN_DIT ?? kept;

/** The test checkpoint with PixArt-alpha's architecture. */
export const tinyPixArt = process.env.DISTRI_GOLDEN_DIT
  ? join(folder, 'tiny-pixart')
  : await seededCheckpoint('tiny-pixart');

export function openDit(name: string): Promise<SafetensorsFile> {
  return SafetensorsFile.open(join(folder, `${name}.safetensors`));
}

export function readDitJson(name: string): Promise<unknown> {
  return readJson(join(folder, `${name}.json`));
}
