import type { CaptionDataset } from '../datasets/caption-dataset.js';
import { openCaptionDataset } from '../datasets/open.js';
import { unlessInterrupted } from '../runtime/interruption.js';
import { embeddedDataset } from './package.js';
import { withByteProgress } from './prepare-weights.js';
import type { RunContext } from './sdxl-ranks.js';

/** Opens the data set called `name`, showing how far its download is. */
export function openDataset(
  name: string,
  { terminal, interruption }: Pick<RunContext, 'terminal' | 'interruption'>,
): Promise<CaptionDataset> {
  const opened = withByteProgress(terminal, `downloading ${name}`, (onProgress) =>
    openCaptionDataset(name, embeddedDataset, onProgress),
  );
  return unlessInterrupted(interruption, opened);
}
