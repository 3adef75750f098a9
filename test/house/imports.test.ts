import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../e2e/cli.js';

/**
 * Folders and files of src/ from the bottom to the top: each imports only from those before it, and from
 * itself.
 */
const order = [
  'base',
  'tensor',
  'images',
  'checkpoint',
  'tokenizers',
  'schedulers',
  'datasets',
  'graph',
  'metrics',
  'html',
  'machine',
  'engine',
  'parallel',
  'ranks',
  'models',
  'pipelines',
  'planning',
  'families',
  'jobs',
  'app',
  'index.ts',
  'commands',
  'cli.ts',
] as const;

const src = join(packageRoot, 'src');

/** Every module of src/, with those of src/ that it imports, both as paths below it. */
const modules = new Map(
  readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => [path, importsOf(path)]),
);

function importsOf(path: string): readonly string[] {
  const text = readFileSync(join(src, path), 'utf8');
  const imports = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(
    ([, name]) => name as string,
  );
  return imports.map((name) => {
    const found = relative(src, resolve(src, dirname(path), name)).replace(/\.js$/, '.ts');
    assert.ok(existsSync(join(src, found)), `${path} imports ${name}, which is not there`);
    return found;
  });
}

function placeOf(path: string): number {
  const place = order.findIndex((name) => name === path.split('/')[0]);
  assert.ok(
    place >= 0,
    `${path} is in no folder of the order: it needs a place there and in docs/architecture.md`,
  );
  return place;
}

test('every folder imports only from folders below it', () => {
  const upward = [...modules].flatMap(([path, imports]) =>
    imports
      .filter((imported) => placeOf(imported) > placeOf(path))
      .map((imported) => `${path} -> ${imported}`),
  );
  assert.deepEqual(upward, []);
});

test('no module imports itself by way of others', () => {
  const circles = new Set<string>();
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): void => {
    const start = way.indexOf(path);
    if (start >= 0) circles.add([...way.slice(start), path].join(' -> '));
    if (start >= 0 || done.has(path)) return;
    for (const imported of modules.get(path) ?? []) visit(imported, [...way, path]);
    done.add(path);
  };
  for (const path of modules.keys()) visit(path, []);
  assert.deepEqual([...circles], []);
});

test('architecture.md names every folder', () => {
  const page = readFileSync(join(packageRoot, 'docs', 'architecture.md'), 'utf8');
  const missing = order.filter((name) => !page.includes(name.endsWith('.ts') ? `src/${name}` : `${name}/`));
  assert.deepEqual(missing, []);
});

test('nothing is exported that nobody uses', () => {
  const users = ['src', 'test', 'bench', 'bin'].flatMap((folder) => sources(join(packageRoot, folder)));
  const words = new Map(users.map((path) => [path, wordsOf(readFileSync(path, 'utf8'))]));
  const unused = [...modules.keys()].flatMap((path) => {
    const text = readFileSync(join(src, path), 'utf8');
    return exportsOf(text)
      .filter(({ name, kind }) => {
        const elsewhere = users.some((user) => user !== join(src, path) && words.get(user)?.has(name));
        // A type that something exported is described with has its use there.
        return !elsewhere && (kind === 'value' || text.split(new RegExp(`\\b${name}\\b`)).length <= 2);
      })
      .map(({ name }) => `${name} of ${path}`);
  });
  assert.deepEqual(unused, []);
});

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.[jt]s$/.test(path))
    .map((path) => join(folder, path));
}

function wordsOf(text: string): ReadonlySet<string> {
  return new Set(text.match(/\w+/g));
}

function exportsOf(text: string): { readonly name: string; readonly kind: 'value' | 'type' }[] {
  const declared = /^export (?:abstract )?(?:async )?(class|function\*?|const|interface|type) (\w+)/gm;
  return [...text.matchAll(declared)].map(([, word = '', name = '']) => ({
    name,
    kind: word === 'interface' || word === 'type' ? 'type' : 'value',
  }));
}
