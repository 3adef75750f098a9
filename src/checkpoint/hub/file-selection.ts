import { DistriError } from '../../base/errors.js';
import { chooseWeightFile, type WeightFileName } from '../weight-files.js';

/**
 * Configurations, and the vocabularies of tokenizers: small, and never more than one of a kind in a
 * component's folder.
 */
const SMALL = /\.(?:json|txt|model)$/;
const INDEX = /\.index(?:\.[^.]+)?\.json$/;

/** Components without weights. */
export function isModel(component: string): boolean {
  return !/^(?:scheduler|tokenizer)/.test(component);
}

/** Names of the files directly in `folder`. */
function namesIn(folder: string, paths: readonly string[]): string[] {
  const prefix = `${folder}/`;
  return paths
    .filter((path) => path.startsWith(prefix))
    .map((path) => path.slice(prefix.length))
    .filter((name) => !name.includes('/'));
}

/**
 * What of a component is needed whatever the variant: no other formats of the weights (.bin, ONNX, Flax,
 * OpenVINO).
 */
export function smallFiles(component: string, paths: readonly string[]): string[] {
  return namesIn(component, paths)
    .filter((name) => SMALL.test(name) && !INDEX.test(name))
    .map((name) => `${component}/${name}`);
}

/** The component's weights in the chosen variant: one file, or the index of its shards. */
export function weightFile(
  component: string,
  paths: readonly string[],
  variant: string | undefined,
  where: string,
): { readonly path: string; readonly kind: WeightFileName['kind'] } {
  const names = namesIn(component, paths);
  if (names.length === 0) {
    throw new DistriError('checkpoint', `${where}: has no folder ${component}, which model_index.json names`);
  }
  const { name, kind } = chooseWeightFile(names, variant, `${where}/${component}`);
  return { path: `${component}/${name}`, kind };
}
