import { systemErrorCode } from '../base/file-io.js';

/** Ends another process with SIGKILL, unless it is gone already. */
export function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (systemErrorCode(error) !== 'ESRCH') throw error;
  }
}
