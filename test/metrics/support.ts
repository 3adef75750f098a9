import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';

/** The full set of reference data, which DISTRI_GOLDEN_METRICS names, or undefined. */
export const fullSet = process.env.DISTRI_GOLDEN_METRICS;

const kept = fileURLToPath(new URL('../../../test/golden/metrics', import.meta.url));

/** A path in the full set, or in the kept selection of it. */
export function golden(...names: string[]): string {
  return join(fullSet ?? kept, ...names);
}

// biome-ignore lint/suspicious/noExplicitAny: the tests compare what they read with what they compute
export const cases: any = JSON.parse(readFileSync(golden('cases.json'), 'utf8'));

export async function readTensor(file: string, name: string) {
  return (await SafetensorsFile.open(golden(file))).read(name);
}
