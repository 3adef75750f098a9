import { DistriError } from '../base/errors.js';
import { lpipsHeadsFile } from '../base/package.js';
import { alexNetFiles, type FindOptions, findWeights, inceptionFiles } from './network-files.js';
import { alexNetShapes, createLpips, lpipsHeadShapes } from './networks/alexnet-lpips.js';
import { createInception } from './networks/inception.js';
import { inceptionNames } from './networks/inception-names.js';
import type { NetworkOptions } from './networks/onnx-network.js';
import type { FeatureNetwork, LpipsNetwork } from './networks/types.js';
import { exactWeights, FileWeights, openTensorFile, type TensorFile } from './tensor-file.js';

export type NetworkLoadOptions = NetworkOptions & FindOptions;

/**
 * LPIPS on AlexNet. `given` are files with AlexNet's convolutions, the heads, or both; what they lack is
 * looked for (`findWeights`), the heads are those of this package.
 */
export async function loadLpips(
  given: readonly string[],
  options: NetworkLoadOptions,
): Promise<LpipsNetwork> {
  const files = await Promise.all(given.map(openTensorFile));
  const alexNet = files.find((file) => hasOneOf(file, alexNetShapes));
  const heads = files.find((file) => hasOneOf(file, lpipsHeadShapes));
  for (const file of files) {
    if (file === alexNet || file === heads) continue;
    throw new DistriError(
      'checkpoint',
      `${file.path}: neither AlexNet's convolutions (features.0.weight …) nor the heads of LPIPS (lin0.model.1.weight …)`,
    );
  }
  return createLpips(
    exactWeights(alexNet ?? (await openTensorFile(await findWeights(alexNetFiles, options))), alexNetShapes),
    exactWeights(heads ?? (await openTensorFile(lpipsHeadsFile)), lpipsHeadShapes),
    options,
  );
}

function hasOneOf({ shapes }: TensorFile, wanted: ReadonlyMap<string, unknown>): boolean {
  return [...wanted.keys()].some((name) => shapes.has(name));
}

/** FID's Inception, from the file `given` or where `findWeights` has it. */
export async function loadInception(
  given: string | undefined,
  options: NetworkLoadOptions,
): Promise<FeatureNetwork> {
  const file = await openTensorFile(given ?? (await findWeights(inceptionFiles, options)));
  const names = inceptionNames(file.shapes);
  const classes = file.shapes.get('fc.weight')?.[0];
  if (names === undefined || (classes !== undefined && classes !== FID_CLASSES)) {
    const why = names
      ? `it tells ${classes} classes apart, not ${FID_CLASSES}`
      : 'layers are missing or have other shapes';
    throw new DistriError(
      'checkpoint',
      `${file.path}: not the Inception that FID is defined on: ${why}; pt_inception-2015-12-05-6726825d.pth and inception-2015-12-05.pt have it`,
    );
  }
  return createInception(new FileWeights(file, names), options);
}

/** Of TensorFlow's network of 2015; torchvision's has the same layers, 1000 classes and other weights. */
const FID_CLASSES = 1008;
