import { unlessInterrupted } from '../../base/interruption.js';
import { embeddedDataset } from '../../base/package.js';
import type { CaptionDataset } from '../../datasets/caption-dataset.js';
import { openCaptionDataset } from '../../datasets/open.js';
import { withByteProgress } from '../observer.js';
import type { PipelineContext } from '../pipeline.js';

/** Opens the data set called `name`, showing how far its download is. */
export function openDataset(
  name: string,
  { observer, signal }: Pick<PipelineContext, 'observer' | 'signal'>,
): Promise<CaptionDataset> {
  const opened = withByteProgress(observer, `downloading ${name}`, (onProgress) =>
    openCaptionDataset(name, embeddedDataset, onProgress),
  );
  return unlessInterrupted(signal, opened);
}
