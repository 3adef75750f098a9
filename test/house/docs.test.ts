import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { exitStatus } from '../../src/base/errors.js';
import { describeTransports } from '../../src/engine/transports.js';
import { families } from '../../src/families/registry.js';
import { metricNames } from '../../src/metrics/compute.js';
import { strategyNames, strategyOptions } from '../../src/parallel/registry.js';
import { syncModeNames } from '../../src/parallel/sync-modes.js';
import { outputTypes } from '../../src/pipelines/request.js';
import { vaeModes } from '../../src/pipelines/vae/plan.js';
import { schedulerNames } from '../../src/schedulers/registry.js';
import { rngNames } from '../../src/tensor/random.js';
import { executable, packageRoot } from '../e2e/cli.js';

const run = promisify(execFile);

function read(...path: readonly string[]): string {
  return readFileSync(join(packageRoot, ...path), 'utf8');
}

/** Rows of a page's tables, as cells; lines between heads and rows are left out. */
function rowsOf(page: string): readonly (readonly string[])[] {
  const lines = page.split('\n').filter((line) => line.startsWith('|') && !/^[|\s:-]+$/.test(line));
  return lines.map((line) =>
    line
      .slice(1)
      .replace(/\|\s*$/, '')
      .split('|')
      .map((cell) => cell.trim()),
  );
}

/** What stands in a table's first column between backticks, up to a blank: `--split i n` is `--split`. */
function quotedFirst([first = '']: readonly string[]): readonly string[] {
  return [...first.matchAll(/`([^`\s]+)[^`]*`/g)].map(([, name]) => name as string);
}

/** The row about `name`. */
function rowAbout(page: string, name: string): string {
  const row = rowsOf(page).find((cells) => quotedFirst(cells).includes(name));
  assert.ok(row, `no row is about ${name}`);
  return row.join(' | ');
}

function missing(names: readonly string[], text: string): readonly string[] {
  return names.filter((name) => !text.includes(`\`${name}\``));
}

const cliPage = read('docs', 'cli.md');
const runPage = read('docs', 'cli', 'run.md');
const planPage = read('docs', 'cli', 'plan.md');

/** The page of every command, by the table of docs/cli.md. */
const pageOf = new Map(
  rowsOf(cliPage).flatMap(([first = '']) => {
    const [, names = '', path] = /^\[(.+)\]\((cli\/.+)\)$/.exec(first) ?? [];
    return path === undefined ? [] : quotedFirst([names]).map((name): [string, string] => [name, path]);
  }),
);

/** Options that are about any command. */
const everywhere = ['--help', '-h'];

describe('the pages of the command line', () => {
  /** Options of each command, as its help has them. */
  const options = new Map<string, readonly string[]>();
  let global: readonly string[] = [];

  const help = async (...command: readonly string[]) =>
    (await run(process.execPath, [executable, ...command, '--help'])).stdout;
  const optionsIn = (text: string) =>
    [...text.matchAll(/^ {2}(?:(-\w), )?(--\w+)(?:, (--\w+))?/gm)].flatMap(([, ...flags]) =>
      flags.filter((flag) => flag !== undefined),
    );

  before(async () => {
    const text = await help();
    global = optionsIn(text);
    const commands = [...text.matchAll(/^ {2}([a-z]+(?:-[a-z]+)*)(?: \[options\]| {2,})/gm)].map(
      ([, name]) => name,
    );
    for (const name of commands as string[]) {
      const page = await help(name);
      const below = [...page.matchAll(/^ {2}([a-z]+)\S* \[options\]/gm)].map(
        ([, command]) => command as string,
      );
      const pages = await Promise.all(below.map((command) => help(name, command)));
      options.set(name, [page, ...pages].flatMap(optionsIn));
    }
  });

  test('there is a page for every command, and for nothing else', () => {
    assert.deepEqual([...pageOf.keys()].toSorted(), [...options.keys()].toSorted());
    const files = readdirSync(join(packageRoot, 'docs', 'cli')).map((name) => `cli/${name}`);
    assert.deepEqual(files.toSorted(), [...new Set(pageOf.values())].toSorted());
  });

  test('every option of a command is in a table of its page, or of the page whose options it shares', () => {
    for (const [command, names] of options) {
      const page = read('docs', pageOf.get(command) as string);
      const [, shared] = /other options\s+are\s+those\s+of\s+\[[^\]]*\]\(([\w.]+)\)/.exec(page) ?? [];
      const pages = shared === undefined ? [page] : [page, read('docs', 'cli', shared)];
      const known = pages.flatMap(rowsOf).flatMap(quotedFirst);
      const unknown = names.filter((name) => !known.includes(name) && !everywhere.includes(name));
      assert.deepEqual(unknown, [], `options of ${command} that ${pageOf.get(command)} lacks`);
    }
    const known = rowsOf(cliPage).flatMap(quotedFirst);
    assert.deepEqual(
      global.filter((name) => name.startsWith('--') && !known.includes(name)),
      [],
    );
  });

  test('no page has an option that is gone', () => {
    for (const path of new Set(pageOf.values())) {
      const own = [...pageOf]
        .filter(([, page]) => page === path)
        .flatMap(([name]) => options.get(name) ?? []);
      const named = rowsOf(read('docs', path)).flatMap(quotedFirst);
      const gone = named.filter((name) => name.startsWith('-') && !own.includes(name));
      assert.deepEqual(gone, [], `options of ${path} that its commands lack`);
    }
  });

  test('command lines in pages have commands and options that there are', () => {
    const lines = documents().flatMap((path) => commandLines(read(path)).map((words) => ({ path, words })));
    assert.ok(lines.length > 40, `only ${lines.length} are found`);
    const wrong = lines.flatMap(({ path, words: [name = '', ...words] }) => {
      const own = options.get(name);
      if (own === undefined) return [`${path}: ${name}`];
      const given = words.flatMap((word) => /^-(?:-\w+|[a-z]$)/.exec(word) ?? []);
      return given.filter((word) => !own.includes(word)).map((word) => `${path}: ${name} ${word}`);
    });
    assert.deepEqual(wrong, []);
  });
});

/** Commands of distri in blocks of code, as words; what follows a pipe or a remark is left out. */
function commandLines(page: string): readonly (readonly string[])[] {
  return codeLines(page).flatMap((line) => {
    const command =
      /^(?:\$ |.*&& )?(?:(?:npx|mpirun|torchrun|srun|\w+=\S+) .*)?\bdistri(?: --(?:quiet|verbose))? /.exec(
        line,
      );
    const words = command === null ? '' : line.slice(command[0].length).replace(/[|#>].*/, '');
    return /^[a-z]+-?[a-z]+/.test(words) ? [words.trim().split(/\s+/)] : [];
  });
}

/** Lines of a page's blocks of code, without what they are indented by. */
function codeLines(page: string): readonly string[] {
  const lines: string[] = [];
  let fenced = false;
  for (const line of page.split('\n')) {
    if (line.startsWith('```')) fenced = !fenced;
    else if (fenced || line.startsWith('    ')) lines.push(line.trim());
  }
  return lines;
}

/** Every page for people, by its path in the package. */
function documents(): readonly string[] {
  const pages = readdirSync(join(packageRoot, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => join('docs', path));
  return ['README.md', 'CONTRIBUTING.md', ...pages].filter((path) => existsSync(join(packageRoot, path)));
}

test('options that choose have a row that names all that can be chosen', () => {
  const chosen: readonly (readonly [page: string, option: string, names: readonly string[]])[] = [
    [runPage, '--parallelism', [...strategyNames, 'auto']],
    [planPage, '--parallelism', strategyNames],
    [runPage, '--scheduler', schedulerNames],
    [runPage, '--rng', rngNames],
    [runPage, '--output_type', outputTypes],
    [runPage, '--vae', vaeModes],
    [read('docs', 'cli', 'vae.md'), '--vae', vaeModes],
    ...[...strategyOptions.map(({ spec }) => spec), ...families.flatMap((family) => family.options)].flatMap(
      ({ name, takes }): [string, string, readonly string[]][] =>
        takes.type === 'choice' ? [[runPage, `--${name}`, takes.values]] : [],
    ),
  ];
  for (const [page, option, names] of chosen) {
    assert.deepEqual(missing(names, rowAbout(page, option)), [], `not in the row about ${option}`);
  }
  const metrics = rowAbout(read('docs', 'cli', 'compare.md'), '--metrics');
  assert.deepEqual(
    metricNames.filter((name) => !metrics.includes(name)),
    [],
  );
});

test('every strategy and sync mode is explained', () => {
  const pages = read('docs', 'modes.md') + read('docs', 'parallelism.md');
  const unexplained = [...strategyNames, ...syncModeNames].filter(
    (name) => !new RegExp(`\\b${name}\\b`).test(pages),
  );
  assert.deepEqual(unexplained, []);
});

test('every family has a row with its pipeline and its defaults', () => {
  for (const { name, title, pipelineClass, defaults } of families) {
    const row = rowAbout(runPage, `run-${name}`);
    const { numInferenceSteps, guidanceScale, scheduler = "the checkpoint's own" } = defaults;
    const cells = [`${title} (${pipelineClass})`, numInferenceSteps, guidanceScale, scheduler];
    assert.equal(row, [`\`run-${name}\``, ...cells].join(' | '));
  }
});

test('every architecture is named where it can be asked for', () => {
  const names = readdirSync(join(packageRoot, 'configs')).map((file) => basename(file, '.json'));
  for (const page of [runPage, planPage]) {
    assert.deepEqual(missing(names, rowAbout(page, '--random_weights')), []);
  }
});

test('every exit status is explained', () => {
  const explained = rowsOf(cliPage).flatMap(([first = '']) => first.split(', ').map(Number));
  const unexplained = Object.entries(exitStatus).filter(([, status]) => !explained.includes(status));
  assert.deepEqual(unexplained, []);
});

test('every environment variable is explained, and none that is gone', () => {
  const text = ['src', 'native']
    .flatMap((folder) =>
      readdirSync(join(packageRoot, folder), { recursive: true, encoding: 'utf8' })
        .filter((path) => /\.(?:ts|cc)$/.test(path) && !path.startsWith('test/'))
        .map((path) => read(folder, path)),
    )
    .join('\n');
  const launchers = read('src', 'ranks', 'join', 'launched-rank.ts');
  const used = new Set(
    [
      ...text.matchAll(/\b(?:env|environment)\.([A-Z][A-Z\d_]+)/g),
      ...text.matchAll(/getenv\("(\w+)"\)/g),
      ...launchers.matchAll(/'([A-Z][A-Z\d_]+)'/g),
      ...launchers.matchAll(/\b([A-Z][A-Z\d_]+): (?:host|port|integer|printable)\b/g),
    ].map(([, name]) => name as string),
  );
  assert.ok(used.size > 30, `only ${used.size} are found`);
  assert.deepEqual(missing([...used], cliPage), []);
  const named = rowsOf(cliPage).flatMap(quotedFirst);
  const gone = named.filter((name) => /^[A-Z][A-Z\d_]+$/.test(name) && !used.has(name));
  assert.deepEqual(gone, []);
});

test('every transport has a row', () => {
  const page = read('docs', 'cli', 'inspect.md');
  for (const { name } of describeTransports(undefined)) rowAbout(page, name);
});

test('operators.md is what the table of operators says', async () => {
  const script = join(packageRoot, 'scripts', 'write-operators-page.mjs');
  const { stdout } = await run(process.execPath, [script, '--print']);
  assert.equal(read('docs', 'operators.md'), stdout, 'run node scripts/write-operators-page.mjs');
});

test('the README lists every page', () => {
  const readme = read('README.md');
  const pages = documents().filter((path) => /^(?:docs\/[^/]+|CONTRIBUTING)\.md$/.test(path));
  assert.deepEqual(
    pages.filter((path) => !readme.includes(`](${path})`)),
    [],
  );
});

test('links of pages lead somewhere', () => {
  const lost = documents().flatMap((path) =>
    [...read(path).matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)/g)].flatMap(
      ([link, target = '', anchor]) => {
        const found = target === '' ? path : join(dirname(path), target);
        const there =
          existsSync(join(packageRoot, found)) && (anchor === undefined || anchors(found).has(anchor));
        return there ? [] : [`${relative('.', path)}: ${link}`];
      },
    ),
  );
  assert.deepEqual(lost, []);
});

/** Of a page's headings, as GitHub makes them. */
function anchors(path: string): ReadonlySet<string> {
  const headings = [...read(path).matchAll(/^#+ (.+)$/gm)].map(([, text = '']) => text);
  return new Set(
    headings.map((text) =>
      text
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}
