import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { inNewFolder, packageRoot } from './cli.js';

const run = promisify(execFile);

const script = `
import { DistriPipeline } from 'distri';
import sharp from 'sharp';

const pipeline = await DistriPipeline.fromPretrained(undefined, { ranks: 2 });
const { images } = await pipeline({ prompt: 'a red heart', numInferenceSteps: 15, seed: 1 });
await pipeline.dispose();
await sharp(images[0].data, { raw: images[0].info }).png().toFile('heart.png');
`;

test('an empty project installs the package, draws with it from a script, and on the command line', () =>
  inNewFolder(async (folder) => {
    const pack = ['pack', '--ignore-scripts', '--pack-destination', folder, '--json'];
    const { stdout } = await run('npm', pack, { cwd: packageRoot });
    const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
    await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
    // As the README says: no files for CUDA. What `npm ci` has fetched is in npm's cache.
    const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' };
    const install = [
      'install',
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      join(folder, filename),
      'sharp',
    ];
    await run('npm', install, { cwd: folder, env });
    await writeFile(join(folder, 'draw.mjs'), script);
    await run(process.execPath, ['draw.mjs'], { cwd: folder, env });
    const { channels } = await sharp(join(folder, 'heart.png')).stats();
    const [red, green] = channels.map(({ mean }) => mean) as [number, number];
    assert.ok(red > green, `red ${red}, green ${green}`);
    const command = ['distri', 'plan', '-n', '2', '--no_measure'];
    assert.match((await run('npx', command, { cwd: folder, env })).stdout, /^tiny-shapes: 256x256/);
  }));
