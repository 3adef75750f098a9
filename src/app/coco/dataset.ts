import { unlessInterrupted } from '../../base/interruption.js';
import { embeddedDataset } from '../../base/package.js';
import type { CaptionDataset } from '../../datasets/caption-dataset.js';
import { openCaptionDataset } from '../../datasets/open.js';
import type { RunContext } from '../prepare.js';
import { withByteProgress } from '../prepare-weights.js';

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
