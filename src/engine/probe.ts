import { toError } from '../base/errors.js';
import { loadOnnxRuntime, type ProbeMessage } from './load.js';

/** The child process of `probeAddon`: says what was loaded, or why it was not. */
process.send?.(probe());

function probe(): ProbeMessage {
  try {
    return loadOnnxRuntime();
  } catch (error) {
    return { problem: toError(error).message };
  }
}
