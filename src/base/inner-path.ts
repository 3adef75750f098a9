/** The longest path that Linux takes. */
const MAX_LENGTH = 4096;

/**
 * True for relative paths that no `..` leads out of their folder. Links may lead out: the hub's cache
 * consists of them.
 */
export function staysInside(path: string): boolean {
  return (
    path !== '' &&
    path.length < MAX_LENGTH &&
    !path.startsWith('/') &&
    !path.includes('\0') &&
    !path.split('/').includes('..')
  );
}
