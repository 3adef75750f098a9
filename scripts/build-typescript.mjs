// Compiles TypeScript into dist/ and bundles it there. Run by `npm install` (prepare), `npm run build` and `npm test`; quick when nothing
// changed.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');

// npm runs prepare under --package-lock-only too, when no dependency is there.
if (!existsSync(compiler)) {
  console.error('distri: the TypeScript was not built, its compiler is not installed; `npm ci` installs it');
  process.exit(0);
}

const { status } = spawnSync(process.execPath, [compiler], { cwd: root, stdio: 'inherit' });
if (status !== 0) {
  console.error('distri: the TypeScript was not built, see above.');
  process.exit(1);
}
removeOrphans();
await import('./bundle.mjs');

/** Removes what was compiled from files that are gone, so that tests of yesterday do not run today. */
function removeOrphans() {
  for (const entry of readdirSync(join(root, 'dist'), { recursive: true })) {
    const source = entry.replace(/(?:\.js|\.js\.map|\.d\.ts)$/, '.ts');
    if (source !== entry && !existsSync(join(root, source))) rmSync(join(root, 'dist', entry));
  }
}
