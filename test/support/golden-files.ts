import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Where the reference data lies: the kept selection, or the full set in the folder that DISTRI_GOLDEN names.
 */
const folder = process.env.DISTRI_GOLDEN ?? fileURLToPath(new URL('../../../test/golden', import.meta.url));

export function goldenPath(name: string): string {
  return join(folder, name);
}
