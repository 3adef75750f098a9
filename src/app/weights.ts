import { join } from 'node:path';
import { sum } from '../base/numbers.js';
import { SafetensorsFile } from '../checkpoint/formats/safetensors.js';
import { findWeightFiles } from '../checkpoint/weight-files.js';
import { type Device, openDevice } from '../engine/device.js';
import { noiseModelBytes, prepareSynthetic } from '../families/synthetic.js';
import type { LoadOptions } from '../pipelines/load-options.js';
import type { GenerationRequest } from '../pipelines/request.js';
import { itemBytes } from '../tensor/element-type.js';
import { elementCount } from '../tensor/tensor.js';
import type { OpenModel } from './model.js';
import { type Observer, withByteProgress } from './observer.js';

/** Bytes of one copy of the noise model's weights as a device holds them. */
export async function denoiserBytes(
  { source, outline, variant }: OpenModel,
  device: Device,
): Promise<number> {
  const { model } = outline;
  return source.kind === 'random'
    ? noiseModelBytes(model)
    : componentBytes(source.checkpoint.directory, model.component, variant, device);
}

/** Bytes of a component's weights as a device holds them. */
export async function componentBytes(
  directory: string,
  component: string,
  variant: string | undefined,
  device: Device,
): Promise<number> {
  const { paths } = await findWeightFiles(join(directory, component), variant);
  const files = await Promise.all(paths.map((path) => SafetensorsFile.open(path)));
  const elements = files.flatMap(({ tensors }) =>
    [...tensors.values()].map(({ shape }) => elementCount(shape)),
  );
  return itemBytes[device.elementType] * sum(elements);
}

/** What is drawn, and on what. */
interface NeedsWeights {
  readonly request: GenerationRequest;
  readonly load: Pick<LoadOptions, 'device'>;
}

/**
 * Makes the weights that a plan needs ready where the ranks find them: checked, and of a type that the device
 * takes.
 */
export async function prepareWeights(
  model: OpenModel,
  plan: NeedsWeights,
  observer: Observer,
): Promise<void> {
  if (model.source.kind === 'random') {
    const { architecture } = model.source;
    await withByteProgress(observer, `writing random weights of ${model.name}`, (onProgress) =>
      prepareSynthetic(architecture, { onProgress }),
    );
    return;
  }
  const { checkpoint } = model.source;
  const device = openDevice(plan.load.device);
  for (const component of neededComponents(model, plan)) {
    await prepareComponent(checkpoint, component, device, observer);
  }
}

/** Checks the weights of a component and converts them where they need it. */
export async function prepareComponent(
  checkpoint: Extract<OpenModel['source'], { kind: 'checkpoint' }>['checkpoint'],
  component: string,
  device: Device,
  observer: Observer,
): Promise<void> {
  await withByteProgress(observer, `converting ${component} to float32`, (onProgress) =>
    checkpoint.weights(component, { types: device.weightTypes, onProgress }),
  );
}

function neededComponents({ family, outline }: OpenModel, { request }: NeedsWeights): readonly string[] {
  const components = [outline.model.component, ...family.textEncoders];
  return request.outputType === 'pil' || request.initImage ? [...components, 'vae'] : components;
}
