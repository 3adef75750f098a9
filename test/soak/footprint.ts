import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';

/** What one process holds. */
export interface Footprint {
  /** Bytes of private memory in RAM. */
  readonly anonymous: number;
  readonly descriptors: number;
  readonly threads: number;
  /** Bytes of the shared memory files that it has open. */
  readonly shared: number;
  /** Mappings of shared memory files. */
  readonly mappings: number;
}

export function footprint(pid: number): Footprint {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  const descriptors = readdirSync(`/proc/${pid}/fd`).map((name) => `/proc/${pid}/fd/${name}`);
  return {
    anonymous: field('RssAnon') * 1024,
    descriptors: descriptors.length,
    threads: field('Threads'),
    shared: descriptors.map(sharedBytes).reduce((sum, bytes) => sum + bytes, 0),
    mappings: readFileSync(`/proc/${pid}/maps`, 'utf8').match(/\/memfd:distri/g)?.length ?? 0,
  };
}

function sharedBytes(descriptor: string): number {
  try {
    return readlinkSync(descriptor).startsWith('/memfd:distri') ? statSync(descriptor).blocks * 512 : 0;
  } catch {
    // Closed meanwhile.
    return 0;
  }
}

/** Least squares: by how much `values` grow from one to the next. */
export function slope(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let products = 0;
  let squares = 0;
  for (const [index, value] of values.entries()) {
    products += (index - middle) * (value - mean);
    squares += (index - middle) ** 2;
  }
  return squares === 0 ? 0 : products / squares;
}
