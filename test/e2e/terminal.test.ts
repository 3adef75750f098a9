import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Screen } from '../support/screen.js';
import { Cli, executable, inNewFolder } from './cli.js';

const few = ['-n', '1', '--num_inference_steps', '3', '--image_size', '64', '--output_path', 'x.png'];

/** What a terminal of 100 columns shows after the command, whose standard streams it is. */
async function onTerminal(args: readonly string[], folder: string): Promise<{ screen: Screen; raw: string }> {
  const command = [process.execPath, executable, ...args].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qec', `stty cols 100 rows 40; ${command}`, '/dev/null'], {
    cwd: folder,
    env: { ...process.env, TERM: 'xterm', NO_COLOR: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let raw = '';
  child.stdout.on('data', (data: Buffer) => {
    raw += data;
  });
  await once(child, 'close');
  return { screen: new Screen(100).write(raw), raw };
}

describe('on a terminal', {
  skip: spawnSync('script', ['--version']).error && 'there is no script(1)',
}, () => {
  it('a bar makes room for lines: nothing is glued to it, nothing is lost, nothing of it stays', () =>
    inNewFolder(async (folder) => {
      const { screen, raw } = await onTerminal(['--verbose', 'run-sdxl', ...few], folder);
      assert.ok(raw.includes('█') || raw.includes('░'), 'there was a bar');
      const shown = screen.lines;
      assert.ok(!shown.some((line) => /[█░]/.test(line)), shown.join('\n'));
      for (const line of [
        /^tiny-shapes: 64x64, 3 ddim steps, guidance 5, seed 1234$/,
        /^CPUs of the ranks: [\d,]+$/,
        /^denoise +[\d.]+ s {2}first step [\d.]+ s, 2 synchronous [\d.]+ s each$/,
      ]) {
        assert.ok(
          shown.some((actual) => line.test(actual)),
          `${line} in\n${shown.join('\n')}`,
        );
      }
      assert.ok(shown.includes(join(folder, 'x.png')), shown.join('\n'));
    }));

  it('results among several bars stand as they are', () =>
    inNewFolder(async (folder) => {
      for (const name of ['a', 'b']) {
        const args = ['run-sdxl', '--prompt', 'x', '--prompt', 'y', ...few.slice(0, -1), `${name}/x.png`];
        assert.equal((await new Cli(args, folder).ended).status, 0);
      }
      const metrics = ['compute-metrics', '--input_root0', 'a', '--input_root1', 'b', '--metrics', 'psnr'];
      const { screen } = await onTerminal(metrics, folder);
      assert.deepEqual(
        screen.lines.filter((line) => line !== ''),
        ['PSNR: inf'],
      );
    }));

  it('errors are red, and names of files have no say in what the terminal does', () =>
    inNewFolder(async (folder) => {
      const { raw } = await onTerminal(['run-sdxl', '--prompts', 'no\u001b[2Jthing'], folder);
      assert.ok(raw.includes('\u001b[31mdistri:\u001b[39m no\\u001b[2Jthing: no such file'), raw);
    }));
});

describe('where nobody reads', () => {
  it('a closed pipe is no error', () =>
    inNewFolder(async (folder) => {
      const child = spawn(process.execPath, [executable, 'run-sdxl', ...few], { cwd: folder });
      child.stdout.destroy();
      child.stderr.destroy();
      assert.deepEqual(await once(child, 'close'), [0, null]);
      assert.deepEqual(await readdir(folder), ['x.png']);
    }));

  for (const stream of [1, 2]) {
    it(`a full disk behind stream ${stream} is status 8, and the picture is there`, () =>
      inNewFolder(async (folder) => {
        const redirected = `exec ${stream}>/dev/full`;
        const { status, stderr } = await new Cli(['run-sdxl', ...few], folder, redirected).ended;
        assert.equal(status, 8);
        if (stream === 1) assert.match(stderr, /^distri: standard output: cannot be written: ENOSPC/m);
        assert.deepEqual(await readdir(folder), ['x.png']);
      }));
  }

  it('a closed terminal ends the run, and nothing of it stays', () =>
    inNewFolder(async (folder) => {
      const long = ['run-sdxl', '-n', '2', '--num_inference_steps', '900', '--output_path', 'out/x.png'];
      const command = [process.execPath, executable, ...long].join(' ');
      const child = spawn('script', ['-qec', command, '/dev/null'], {
        cwd: folder,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      for await (const data of child.stdout) if (String(data).includes('denoising')) break;
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
      await until(async () => !(await readdir(folder)).includes('out'), 10_000);
    }));
});

it('without a working directory there is one line', async () => {
  const gone = 'd=$(mktemp -d); cd "$d"; rmdir "$d"';
  const { status, stderr } = await new Cli(['inspect'], '/', gone).ended;
  assert.equal(status, 2);
  assert.equal(stderr, 'distri: the working directory is gone; change to one that exists\n');
});

async function until(done: () => Promise<boolean>, limit: number): Promise<void> {
  const deadline = performance.now() + limit;
  while (!(await done())) {
    assert.ok(performance.now() < deadline, 'it took too long');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
