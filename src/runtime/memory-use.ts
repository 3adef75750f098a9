import { readFile, writeFile } from 'node:fs/promises';

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

/** How far the private memory of this process rises while something runs. */
export class PeakMeter {
  readonly #before: number;

  private constructor(before: number) {
    this.#before = before;
  }

  /** Sets the kernel's high-water mark back to what the process has now. */
  static async start(): Promise<PeakMeter> {
    await writeFile('/proc/self/clear_refs', '5');
    return new PeakMeter((await memoryUse(process.pid)).anonymous);
  }

  /** Bytes of the most since `start`: of all memory, less what are files (weights) and shared memory now. */
  async stop(): Promise<number> {
    const { peak, file, shared } = await memoryUse(process.pid);
    return Math.max(0, peak - file - shared - this.#before);
  }
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
