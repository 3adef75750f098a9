import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { families } from '../../src/families/registry.js';
import { operators } from '../../src/graph/operators.js';
import { strategyNames } from '../../src/parallel/registry.js';
import { schedulerNames, schedulers } from '../../src/schedulers/registry.js';
import { packageRoot } from '../e2e/cli.js';

/** Every module of src/, by its path below it. */
const modules = modulesOf('src');

function modulesOf(folder: string): readonly { readonly path: string; readonly text: string }[] {
  const root = join(packageRoot, folder);
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

/** Where one of the names stands in quotes, but for modules whose path matches `owners`. */
function quoted(names: readonly string[], owners: RegExp): string[] {
  const pattern = new RegExp(`'(?:${names.join('|')})'`);
  return modules
    .filter(({ path }) => !owners.test(path))
    .flatMap(({ path, text }) =>
      text
        .split('\n')
        .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
    );
}

test('strategies are known by name to their registry and themselves alone', () => {
  assert.deepEqual(quoted(strategyNames, /^parallel\/(registry\.ts|strategies\/)/), []);
});

test('families and their pipelines are known by name to their own files alone', () => {
  assert.deepEqual(
    quoted(
      families.flatMap(({ name, pipelineClass }) => [name, pipelineClass]),
      /^families\/(stable-diffusion|stable-diffusion-xl|pixart|flux)\.ts$/,
    ),
    [],
  );
});

test('schedulers are known by name to their registry, and to families that have a default', () => {
  const names = schedulerNames.flatMap((name) => [name, schedulers[name].className]);
  assert.deepEqual(quoted(names, /^(schedulers\/registry|families\/[\w-]+)\.ts$/), []);
});

test('operators are known by name to the graph, and to what makes commands of them', () => {
  const own = Object.entries(operators).filter(([, { domain }]) => domain === 'distri');
  assert.deepEqual(
    quoted(
      own.map(([name]) => name),
      /^(graph|engine\/lowered)\//,
    ),
    [],
  );
});

test('what is about SDXL alone says so, and nothing else does', () => {
  const about = modules.filter(({ text }) => text.includes('sdxl')).map(({ path }) => path);
  assert.deepEqual(about, ['families/stable-diffusion-xl.ts']);
});

test('comments are as wide as code', () => {
  const all = ['src', 'test', 'bench'].flatMap(modulesOf);
  const wide = all.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, index) =>
        line.length > 110 && /^\s*(\/\/|\/?\*)/.test(line) ? [`${path}:${index + 1}`] : [],
      ),
  );
  assert.deepEqual(wide, []);
});
