// Compiles TypeScript into dist/. Run by `npm install` (prepare), `npm run build` and `npm test`; quick when nothing changed.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = ['src', 'test', 'bench'];
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const stamp = join(root, 'dist', '.built');

// npm runs prepare under --package-lock-only too, when no dependency is there.
if (!existsSync(compiler)) {
  console.error('distri: the TypeScript was not built, its compiler is not installed; `npm ci` installs it');
  process.exit(0);
}

const started = new Date();
if (newestChange() > builtAt()) {
  const { status } = spawnSync(process.execPath, [compiler], { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    console.error('distri: the TypeScript was not built, see above.');
    process.exit(1);
  }
  removeOrphans();
  writeFileSync(stamp, '');
  // Not the time of writing: a file saved while the compiler ran is newer than its output.
  utimesSync(stamp, started, started);
}

function builtAt() {
  return statSync(stamp, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Folders count as well: their times tell of files that were removed. */
function newestChange() {
  const inputs = ['package.json', 'tsconfig.json', ...sources, ...sources.flatMap(listSources)];
  return Math.max(...inputs.map((path) => statSync(join(root, path)).mtimeMs));
}

/** Folders and TypeScript files below `folder`. */
function listSources(folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory() || entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length));
}

/** Removes what was compiled from files that are gone, so that tests of yesterday do not run today. */
function removeOrphans() {
  for (const entry of readdirSync(join(root, 'dist'), { recursive: true })) {
    const source = entry.replace(/(?:\.js|\.js\.map|\.d\.ts)$/, '.ts');
    if (source !== entry && !existsSync(join(root, source))) rmSync(join(root, 'dist', entry));
  }
}
