import { toError } from '../base/errors.js';
import { describeAddon } from './load.js';

/** The child process of `probeAddon`: prints what was loaded as JSON, or why it was not. */
try {
  process.stdout.write(JSON.stringify(describeAddon()));
} catch (error) {
  process.stdout.write(toError(error).message);
  process.exitCode = 1;
}
