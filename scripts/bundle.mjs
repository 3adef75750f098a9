// Puts the compiled modules of dist/src into few files in dist/program, which is what `distri` and programs run:
// Node takes longer to find three hundred modules than to run them. Run by build-typescript.mjs.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const compiled = join(root, 'dist', 'src');
const program = join(root, 'dist', 'program');

const { outputFiles } = await build({
  entryPoints: [join(compiled, 'cli.js'), join(compiled, 'index.js'), ...ownProcesses()],
  outdir: program,
  // One folder, so that a module finds the file of a process beside itself, here as in dist/src.
  entryNames: '[name]',
  chunkNames: 'part-[hash]',
  bundle: true,
  splitting: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
  write: false,
});
mkdirSync(program, { recursive: true });
// Those that others import first.
for (const file of outputFiles.toReversed()) update(file.path, file.contents);
const names = new Set(outputFiles.map(({ path }) => basename(path)));
for (const name of readdirSync(program)) if (!names.has(name)) rmSync(join(program, name));

/** What runs in processes and threads of its own is found by the name of its file. */
function ownProcesses() {
  const modules = readdirSync(compiled, { recursive: true }).filter((path) => path.endsWith('.js'));
  return modules.flatMap((path) => {
    const module = join(compiled, path);
    const named = readFileSync(module, 'utf8').matchAll(/new URL\('(\.\/[\w-]+\.js)', import\.meta\.url\)/g);
    return [...named].map(([, name]) => join(dirname(module), name));
  });
}

/** A process that starts meanwhile finds the old file or the new one. */
function update(path, contents) {
  if (existsSync(path) && readFileSync(path).equals(contents)) return;
  writeFileSync(`${path}.new`, contents);
  renameSync(`${path}.new`, path);
}
