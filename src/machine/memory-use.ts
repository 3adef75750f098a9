import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** Memory of a process in bytes. */
export interface MemoryUse {
  /** The most of all kinds together that it ever had in memory: VmHWM. */
  readonly peak: number;
  /** Its own and nobody else's: RssAnon. */
  readonly anonymous: number;
  /** Pages of files, which all processes that map them share: RssFile. */
  readonly file: number;
  /** Shared memory: RssShmem. */
  readonly shared: number;
  /** Its share of everything: private pages whole, others divided by the number of their users (Pss). */
  readonly proportional: number;
}

const SAMPLE_MS = 2;

/**
 * How far the private memory (RssAnon) of this process rises while something runs outside of the JavaScript
 * thread; sampled.
 */
export class PeakMeter {
  readonly #before = privateBytes();
  #most = this.#before;
  readonly #timer = setInterval(() => {
    this.#most = Math.max(this.#most, privateBytes());
  }, SAMPLE_MS);

  /** Bytes of the most since the beginning. */
  stop(): number {
    clearInterval(this.#timer);
    return this.#most - this.#before;
  }
}

function privateBytes(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return 1024 * Number(/^RssAnon:\s*(\d+) kB/m.exec(status)?.[1]);
}

/** As the kernel accounts for it in /proc. */
export async function memoryUse(pid: number): Promise<MemoryUse> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const bytes = (text: string, field: string) =>
    1024 * Number(new RegExp(`^${field}:\\s*(\\d+) kB`, 'm').exec(text)?.[1]);
  return {
    peak: bytes(status, 'VmHWM'),
    anonymous: bytes(status, 'RssAnon'),
    file: bytes(status, 'RssFile'),
    shared: bytes(status, 'RssShmem'),
    proportional: bytes(rollup, 'Pss'),
  };
}
