import { join } from 'node:path';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { SafetensorsFile } from '../checkpoint/formats/safetensors.js';
import { findWeightFiles } from '../checkpoint/weight-files.js';
import type { Progress, Terminal } from '../commands/output/terminal.js';
import { elementCount } from '../tensor/tensor.js';

const BYTES_PER_FLOAT = 4;
const MEGABYTE = 1e6;

/** Checks the weights of `components` and converts them where they need it, so that the ranks find them ready. */
export async function prepareWeights(
  checkpoint: Checkpoint,
  components: readonly string[],
  terminal: Terminal,
): Promise<void> {
  for (const component of components) {
    await withByteProgress(terminal, `converting ${component} to float32`, (onProgress) =>
      checkpoint.weights(component, { onProgress }),
    );
  }
}

/** Shows the progress of `work`, should it report any. */
export async function withByteProgress<T>(
  terminal: Terminal,
  label: string,
  work: (onProgress: (done: number, total: number) => void) => Promise<T>,
): Promise<T> {
  let progress: Progress | undefined;
  try {
    return await work((done, total) => {
      progress ??= terminal.progress(Math.ceil(total / MEGABYTE), 'MB');
      progress.update(Math.floor(done / MEGABYTE), label);
    });
  } finally {
    progress?.stop();
  }
}

/** Bytes of a component's weights in float32. */
export async function float32Bytes(
  checkpoint: Checkpoint,
  component: string,
  variant: string | undefined,
): Promise<number> {
  const { paths } = await findWeightFiles(join(checkpoint.directory, component), variant);
  let elements = 0;
  for (const path of paths) {
    const file = await SafetensorsFile.open(path);
    for (const { shape } of file.tensors.values()) elements += elementCount(shape);
  }
  return elements * BYTES_PER_FLOAT;
}
