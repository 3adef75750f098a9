import { DistriError, toError } from '../base/errors.js';
import { systemErrorCode } from '../base/file-io.js';

const limits: Readonly<Record<string, string>> = {
  EMFILE: 'too many open files; raise the limit (ulimit -n) or use fewer ranks',
  ENFILE: 'the machine has too many open files',
  EAGAIN: 'too many processes; raise the limit (ulimit -u) or use fewer ranks',
  ENOMEM: 'not enough memory',
};

/** Why `who` could not be started, in one line. */
export function startError(who: string, thrown: unknown): DistriError {
  const reason = limits[systemErrorCode(thrown) ?? ''] ?? toError(thrown).message;
  return new DistriError('rank', `${who} could not be started: ${reason}`, { cause: thrown });
}
