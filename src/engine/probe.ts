import { toError } from '../base/errors.js';
import { describeAddon, type ProbeMessage } from './load.js';

/** The child process of `probeAddon`: says what was loaded, or why it was not. */
process.send?.(probe());

function probe(): ProbeMessage {
  try {
    return describeAddon();
  } catch (error) {
    return { problem: toError(error).message };
  }
}
