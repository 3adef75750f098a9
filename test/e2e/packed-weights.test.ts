import assert from 'node:assert/strict';
import { cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { readImage } from '../../src/images/pixels.js';
import { DistriPipeline } from '../../src/index.js';
import { childrenOf } from '../ranks/fixtures/processes.js';
import { Cli, inNewFolder } from './cli.js';

const few = ['--dtype', 'bf16', '--threads', '1', '--num_inference_steps', '2', '--prompt', 'a red heart'];

/** The first picture that is drawn with this cache, and what else was said. */
async function draw(folder: string, cache: string, ...args: string[]) {
  const argv = ['run-sdxl', ...few, ...args];
  const { status, stdout, stderr } = await new Cli(argv, folder, `export DISTRI_CACHE=$PWD/${cache}`).ended;
  assert.equal(status, 0, stderr);
  const [path = ''] = stdout.split('\n');
  return { pixels: (await readImage(resolve(folder, path))).pixels, stderr };
}

test('pictures are the same with packed weights that are new, kept, or nowhere to be kept', () =>
  inNewFolder(async (folder) => {
    const made = await draw(folder, 'cache', '-n', '1', '--output_path', 'made.png');
    const packed = join(folder, 'cache', 'packed-weights');
    const inodes = async () =>
      Promise.all((await readdir(packed)).map(async (name) => [name, (await stat(join(packed, name))).ino]));
    const before = await inodes();
    assert.ok(before.length > 4, 'text encoders, the noise model and the VAE are packed');
    const used = await draw(folder, 'cache', '-n', '1', '--weights', 'private', '--output_path', 'used.png');
    assert.deepEqual(await inodes(), before, 'nothing is packed again');
    assert.match(used.stderr, /^--weights has no effect with --engine lowered/m);
    assert.deepEqual(used.pixels, made.pixels);

    // Conversions without the packed weights, for which a file is in the way.
    await mkdir(join(folder, 'other'));
    for (const name of await readdir(join(folder, 'cache'))) {
      if (name === 'packed-weights') await writeFile(join(folder, 'other', name), '');
      else await cp(join(folder, 'cache', name), join(folder, 'other', name));
    }
    const two = ['-n', '2', '--data_parallel', '2', '--prompt', 'a ring', '--output_path', 'pictures'];
    const refused = await draw(folder, 'other', ...two);
    assert.deepEqual(refused.pixels, made.pixels);
    const said = refused.stderr.split('\n').filter((line) => line.startsWith('packed weights are not kept'));
    assert.equal(said.length, 1, refused.stderr);
  }));

test('packed weights that were cut short or damaged are made anew, and the picture is the same', () =>
  inNewFolder(async (folder) => {
    const made = await draw(folder, 'cache', '-n', '2', '--output_path', 'made.png');
    const packed = join(folder, 'cache', 'packed-weights');
    const files = (await readdir(packed)).filter((name) => name.endsWith('.safetensors'));
    const whole = await Promise.all(files.map((name) => readFile(join(packed, name))));
    for (const [index, bytes] of whole.entries()) {
      const path = join(packed, files[index] as string);
      const damaged = Buffer.from(bytes);
      damaged.fill(0x7f, bytes.length - 4096);
      await writeFile(path, index % 2 === 0 ? damaged : bytes.subarray(0, bytes.length / 2));
    }
    const again = await draw(folder, 'cache', '-n', '2', '--output_path', 'again.png');
    assert.deepEqual(again.pixels, made.pixels);
    const anew = await Promise.all(files.map((name) => readFile(join(packed, name))));
    assert.deepEqual(anew, whole);
  }));

/** Mappings of packed weights that a process has, as `permissions inode`. */
async function packedMappings(pid: number): Promise<readonly string[]> {
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8');
  const lines = maps.split('\n').filter((line) => line.includes('/packed-weights/'));
  return lines
    .map((line) => line.split(/\s+/))
    .map(([, permissions, , , inode]) => `${permissions} ${inode}`);
}

test('ranks map the same files, to read alone', () =>
  inNewFolder(async (folder) => {
    const { DISTRI_CACHE } = process.env;
    process.env.DISTRI_CACHE = folder;
    const pipelines = await Promise.all(
      [1, 2].map(() => DistriPipeline.fromPretrained(undefined, { ranks: 1, threads: 1, dtype: 'bf16' })),
    );
    try {
      const call = { prompt: 'a red heart', numInferenceSteps: 1, height: 64, width: 64 };
      await Promise.all(pipelines.map((pipeline) => pipeline(call)));
      const ranks = childrenOf(process.pid);
      assert.equal(ranks.length, 2);
      const [first = [], second] = await Promise.all(ranks.map(packedMappings));
      assert.ok(first.length > 0);
      assert.deepEqual(first.toSorted(), second?.toSorted());
      assert.ok(first.every((mapping) => mapping.startsWith('r--s ')));
    } finally {
      await Promise.all(pipelines.map((pipeline) => pipeline.dispose()));
      if (DISTRI_CACHE === undefined) delete process.env.DISTRI_CACHE;
      else process.env.DISTRI_CACHE = DISTRI_CACHE;
    }
  }));
