import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it, test } from 'node:test';
import sharp from 'sharp';
import {
  DistriError,
  DistriPipeline,
  type DrawCall,
  openCheckpoint,
  type PipelineOutput,
  planRun,
  type StepEvent,
} from '../../src/index.js';
import { Cli } from '../e2e/cli.js';
import { childrenOf } from '../ranks/fixtures/processes.js';
import { tinySd15 } from '../support/golden.js';

const folder = await mkdtemp(join(tmpdir(), 'distri-library-'));
after(() => rm(folder, { recursive: true }));

const few = { numInferenceSteps: 3, height: 64, width: 96, seed: 7n } as const;

/** The pixels of a picture's file. */
function pixelsOf(path: string): Promise<Buffer> {
  return sharp(path).raw().toBuffer();
}

function onlyPicture({ images }: PipelineOutput): Uint8Array {
  assert.equal(images.length, 1);
  return images[0]?.data as Uint8Array;
}

describe('a pipeline', () => {
  it('draws what the command draws, as pixels that sharp takes', async () => {
    const pipeline = await DistriPipeline.fromPretrained(undefined, { ranks: 2, threads: 1 });
    try {
      const output = await pipeline({ prompt: 'a red heart', ...few });
      const [picture] = output.images;
      assert.ok(picture);
      assert.deepEqual(picture.info, { width: 96, height: 64, channels: 3 });
      assert.equal(picture.prompt, 'a red heart');
      assert.deepEqual(output.latents.shape, [1, 4, 8, 12]);
      const written = join(folder, 'library.png');
      await sharp(picture.data, { raw: picture.info }).png().toFile(written);

      const command = join(folder, 'command.png');
      const size = ['--image_size', '64', '96', '--num_inference_steps', '3', '--seed', '7'];
      const argv = [
        'run-sdxl',
        '--dtype',
        'auto',
        '-n',
        '2',
        '--threads',
        '1',
        '--prompt',
        'a red heart',
        ...size,
      ];
      const { status, stderr } = await new Cli([...argv, '--output_path', command], folder).ended;
      assert.equal(status, 0, stderr);
      assert.deepEqual(await pixelsOf(written), await pixelsOf(command));
    } finally {
      await pipeline.dispose();
    }
  });

  it('tells each step, with latents where they are asked for; the last are those of the output', async () => {
    const pipeline = await DistriPipeline.fromPretrained(undefined, { ranks: 2, splitBatch: false });
    const plain: StepEvent[] = [];
    const withLatents: StepEvent[] = [];
    await pipeline({ ...few, outputType: 'latent', onStep: (event) => plain.push(event) });
    const output = await pipeline({
      ...few,
      outputType: 'latent',
      stepLatents: true,
      onStep: (event) => withLatents.push(event),
    });
    await pipeline.dispose();
    assert.deepEqual(
      plain.map(({ step, steps, latents }) => [step, steps, latents]),
      [0, 1, 2].map((step) => [step, 3, undefined]),
    );
    assert.deepEqual(
      withLatents.map(({ step, latents }) => [step, latents?.shape]),
      [0, 1, 2].map((step) => [step, [1, 4, 8, 12]]),
    );
    assert.deepEqual(withLatents[2]?.latents?.data, output.latents.data);
    assert.deepEqual(output.images, []);
  });

  it('begins with a picture, as a file or as what is in it', async () => {
    const pipeline = await DistriPipeline.fromPretrained(undefined, { ranks: 1 });
    const path = join(folder, 'init.png');
    await sharp({ create: { width: 96, height: 64, channels: 3, background: '#203080' } })
      .png()
      .toFile(path);
    const call = { numInferenceSteps: 4, strength: 0.5, seed: 1 };
    const ofFile = await pipeline({ ...call, initImage: path });
    const ofBytes = await pipeline({ ...call, initImage: await readFile(path) });
    await pipeline.dispose();
    assert.equal(ofFile.reports[0]?.timings.steps.length, 2);
    assert.deepEqual(ofFile.images[0]?.info, { width: 96, height: 64, channels: 3 });
    assert.deepEqual(onlyPicture(ofBytes), onlyPicture(ofFile));
  });

  it('draws the same again, and in a second pipeline beside it', async () => {
    const one = await DistriPipeline.fromPretrained(undefined, { ranks: 2, splitBatch: false });
    const other = await DistriPipeline.fromPretrained(undefined, { ranks: 2, splitBatch: false });
    const [first, second] = await Promise.all([one(few), other(few)]);
    const third = await one(few);
    assert.deepEqual(onlyPicture(second), onlyPicture(first));
    assert.deepEqual(onlyPicture(third), onlyPicture(first));
    // Models stay.
    assert.ok((first.reports[0]?.timings.phases.load ?? 0) > 0);
    assert.equal(third.reports[0]?.timings.phases.load, undefined);
    await Promise.all([one.dispose(), other.dispose()]);
  });

  it('takes calls one after another, or as many at a time as there are groups', async () => {
    const pipeline = await DistriPipeline.fromPretrained(undefined, {
      ranks: 2,
      dataParallel: 2,
      threads: 1,
    });
    const seeds = [1, 2, 3, 4];
    const outputs = await Promise.all(seeds.map((seed) => pipeline({ ...few, seed })));
    const again = await pipeline({ ...few, seed: 3 });
    await pipeline.dispose();
    assert.equal(new Set(outputs.map((output) => String(onlyPicture(output)))).size, seeds.length);
    assert.deepEqual(onlyPicture(again), onlyPicture(outputs[2] as PipelineOutput));
  });

  it('of another family has its own defaults and plans', async () => {
    const pipeline = await DistriPipeline.fromPretrained(tinySd15, { ranks: 3, parallelism: 'tensor' });
    const plan = await pipeline.plan({ prompt: 'x', height: 64, width: 64 });
    await pipeline.dispose();
    assert.equal(plan.request.guidanceScale, 7.5);
    assert.equal(plan.parallel.parallelism, 'tensor');
    assert.equal(plan.shares.length, 3);
  });
});

describe('a plan', () => {
  it('has the other side from the model, or from the picture to begin with', async () => {
    const pipeline = await DistriPipeline.fromPretrained(undefined, { ranks: 1 });
    const sizeOf = async (call: DrawCall) => {
      const { request } = await pipeline.plan({ prompt: 'x', ...call });
      return [request.height, request.width];
    };
    assert.deepEqual(await sizeOf({ height: 64 }), [64, 256]);
    const initImage = await sharp({ create: { width: 80, height: 48, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    assert.deepEqual(await sizeOf({ initImage }), [48, 80]);
    assert.deepEqual(await sizeOf({ initImage, width: 64 }), [48, 64]);
    await pipeline.dispose();
  });

  it('refuses what TypeScript can not', async () => {
    const pipeline = await DistriPipeline.fromPretrained(undefined, { ranks: 1 });
    const wrong: readonly (readonly [DrawCall, RegExp])[] = [
      [{ seed: 1.5 }, /^Expected an integer from -2\^63 to 2\^64 - 1 for the seed but received 1\.5/],
      [{ seed: 2n ** 64n }, /^Expected an integer from -2\^63 to 2\^64 - 1 for the seed/],
      [{ prompt: [7] as unknown as string[] }, /^Expected a string for a prompt but received 7/],
      [{ height: 64.5 }, /^Expected an integer from 1 to 32768 for the picture's height but/],
    ];
    for (const [call, message] of wrong) {
      await assert.rejects(pipeline.plan({ prompt: 'x', ...call }), (error) => {
        assert.ok(error instanceof DistriError);
        assert.match(error.message, message);
        return true;
      });
    }
    await pipeline.dispose();
  });
});

describe('a call that fails leaves the pipeline usable', () => {
  const aborted = new Error('enough');
  const failures: Readonly<Record<string, (pipeline: DistriPipeline) => Promise<unknown>>> = {
    'what can not be done': (pipeline) => pipeline({ ...few, height: 60 }),
    'a callback that throws': (pipeline) =>
      pipeline({
        ...few,
        onStep: () => {
          throw aborted;
        },
      }),
    'a signal that is aborted': (pipeline) => {
      const controller = new AbortController();
      const onStep = () => controller.abort(aborted);
      return pipeline({ ...few, numInferenceSteps: 50, signal: controller.signal, onStep });
    },
    'a rank that is killed': (pipeline) => {
      let killed = false;
      const onStep = () => {
        if (!killed) process.kill(childrenOf(process.pid)[0] as number, 'SIGKILL');
        killed = true;
      };
      return pipeline({ ...few, numInferenceSteps: 50, onStep });
    },
  };
  for (const [name, fail] of Object.entries(failures)) {
    it(name, async () => {
      const pipeline = await DistriPipeline.fromPretrained(undefined, { ranks: 2 });
      const before = await pipeline(few);
      await assert.rejects(fail(pipeline), (error: Error & { code?: string }) => {
        return error === aborted || ['usage', 'rank'].includes(error.code ?? '');
      });
      const after = await pipeline(few);
      await pipeline.dispose();
      assert.deepEqual(onlyPicture(after), onlyPicture(before));
      assert.deepEqual(childrenOf(process.pid), []);
    });
  }
});

test('what is not asked for rightly is refused with a code, before ranks are started', async () => {
  const pipeline = await DistriPipeline.fromPretrained();
  for (const [call, message] of [
    [{ height: 100_000 }, /an integer from 1 to 32768 for the picture's height/],
    [{ numInferenceSteps: 0 }, /the number of steps/],
    [{ strength: 2, initImage: 'x.png' }, /x\.png: no such file/],
    [{ scheduler: 'nothing' as 'ddim' }, /Expected one of .* for the scheduler but received "nothing"/],
    [{ prompt: ['a', 'b'], negativePrompt: ['a', 'b', 'c'] }, /as many as prompts \(2\)/],
  ] as const) {
    await assert.rejects(pipeline(call), { name: 'DistriError', code: 'usage', message });
  }
  assert.deepEqual(childrenOf(process.pid), []);
  await pipeline.dispose();
  await assert.rejects(DistriPipeline.fromPretrained('./nothing'), { code: 'checkpoint' });
  await assert.rejects(DistriPipeline.fromPretrained(undefined, { ranks: 3, dataParallel: 2 }), {
    code: 'usage',
    message: /a divisor of the number of ranks \(3\)/,
  });
});

test('a plan and a checkpoint can be had without a pipeline', async () => {
  const report = await planRun(undefined, { ranks: 2, measure: false });
  assert.equal(report.picture.model, 'tiny-shapes');
  assert.equal(report.choices[0]?.ranks, 1);
  const checkpoint = await openCheckpoint(tinySd15);
  assert.equal(checkpoint.pipelineClass, 'StableDiffusionPipeline');
});
