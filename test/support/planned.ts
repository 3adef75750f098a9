import { openDevice } from '../../src/engine/device.js';
import { architectureConfigs, readArchitecture } from '../../src/families/architectures.js';
import type { Outline } from '../../src/families/family.js';
import type { PlannedImage } from '../../src/planning/rank-work.js';

/** What is known of an architecture without a checkpoint. */
export async function outlineOf(name: string): Promise<Outline> {
  const architecture = await readArchitecture(name);
  return architecture.family.outline(architectureConfigs(architecture));
}

/** Pictures of an architecture as plans look at them, of one image where nothing else is said. */
export async function plannedPicture(
  name: string,
  latent: Pick<PlannedImage, 'rows' | 'columns'> & Partial<PlannedImage>,
): Promise<PlannedImage> {
  const { model, textTokens } = await outlineOf(name);
  return { device: openDevice(), model, textTokens, images: 1, ...latent };
}
