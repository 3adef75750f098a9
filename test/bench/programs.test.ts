import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { studyOptions } from '../../bench/study/options.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = join(root, 'dist', 'bench');
const page = readFileSync(join(root, 'docs', 'benchmarks.md'), 'utf8');

/** Paths of the programs in dist/bench. */
const programs = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.js') && path !== 'bench.js')
  .filter((path) => readFileSync(join(folder, path), 'utf8').includes('runBench('));

function run(program: string, ...argv: string[]) {
  return spawnSync(process.execPath, [join(folder, program), ...argv], { encoding: 'utf8', cwd: root });
}

describe('benchmarks', () => {
  it('are found', () => {
    assert.ok(programs.includes(join('unet-step', 'main.js')));
    assert.ok(programs.includes(join('study', 'main.js')));
  });

  for (const program of programs) {
    it(`${program} says what it measures, and what its options are by default`, () => {
      const { status, stdout, stderr } = run(program, '--help');
      assert.deepEqual([status, stderr], [0, '']);
      assert.match(stdout, /^Usage: node dist\/bench\/\S+ \[options\]/);
      assert.match(stdout, /^ {2}--\w+ <.*>/m);
      assert.match(stdout, /\(default:/);
    });

    it(`${program} refuses an option that it does not have in one line`, () => {
      const { status, stdout, stderr } = run(program, '--no_such_option', '1');
      assert.deepEqual([status, stdout], [2, '']);
      assert.match(stderr, /^[\w-]+: .*--no_such_option.*\n$/);
    });

    it(`${program} has its line in docs/benchmarks.md`, () => {
      assert.ok(page.includes(`\`node dist/bench/${program}`));
    });
  }

  it('refuse values that mean nothing in one line', () => {
    const { status, stderr } = run(join('unet-step', 'main.js'), '--rounds', 'many');
    assert.equal(status, 2);
    assert.equal(stderr, 'unet-step: Expected an integer of at least 1 for --rounds but received "many"\n');
  });

  it('print tables as commands do, and have nothing else of them', () => {
    const imports = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.js'))
      .flatMap((path) => [
        ...readFileSync(join(folder, path), 'utf8').matchAll(/src\/commands\/([\w/-]+)\.js/g),
      ])
      .map(([, module]) => module);
    assert.deepEqual([...new Set(imports)], ['output/table']);
  });

  it('have the options of the study on one page', () => {
    const documented = [...page.matchAll(/^\| `--(\w+)`/gm)].map(([, name]) => name);
    assert.deepEqual(documented.toSorted(), Object.keys(studyOptions).toSorted());
  });
});
