import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DistriError } from '../../src/base/errors.js';
import { isJsonObject, type JsonObject, parseJson, readJsonObject } from '../../src/base/json.js';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.js';
import { modelOf } from '../../src/engine/onnxruntime/session-executable.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import { Graph } from '../../src/graph/graph.js';
import { Kernels } from '../../src/graph/kernels/kernels.js';
import { AutoencoderKLDecoder, readAutoencoderKLConfig } from '../../src/models/autoencoder-kl.js';
import { CLIPTextModel, readCLIPTextConfig } from '../../src/models/clip-text.js';
import { readUNet2DConditionConfig, UNet2DConditionModel } from '../../src/models/unet-2d-condition.js';
import { SingleDevice } from '../../src/parallel/layers/single-device.js';
import { createScheduler, schedulerNames } from '../../src/schedulers/registry.js';
import { CLIPTokenizer } from '../../src/tokenizers/clip.js';
import { limitAllocations } from '../support/allocations.js';
import { tinySdxl } from '../support/golden.js';
import { goldenPath } from '../support/golden-files.js';
import { type Below, mutateBytes, mutateJson, pick, seededBelow } from '../support/mutate.js';

/**
 * With the safetensors headers of test/checkpoint these are 10,000 inputs; DISTRI_FUZZ=10 makes them ten
 * times as many.
 */
const TIMES = Number(process.env.DISTRI_FUZZ ?? 1);
const SEED = Number(process.env.DISTRI_FUZZ_SEED ?? 20240229);
/** Of one input, on a busy machine. */
const LIMIT_MS = 2000;
/**
 * Of the buffers that one input makes the readers ask for: undamaged tokenizers take 0.2 MB, the graph of a
 * UNet 0.08 MB.
 */
const LIMIT_BUFFER_BYTES = 250e3;
/** What garbage and caches may add to this process's largest size; files are kilobytes. */
const LIMIT_BYTES = 256e6;

let folder: string;
let checkpoint: Checkpoint;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'distri-fuzz-'));
  await cp(goldenPath('tiny-sdxl/tokenizer'), folder, { recursive: true });
  checkpoint = await openCheckpoint(tinySdxl, {});
});
after(() => rm(folder, { recursive: true }));

/**
 * Gives `rounds` inputs to `use`, which must finish or fail with a DistriError of one line, soon and in
 * little memory.
 */
async function fuzz(rounds: number, use: (below: Below) => Promise<void> | void): Promise<void> {
  const below = seededBelow(SEED);
  const largestBefore = process.resourceUsage().maxRSS;
  let refused = 0;
  for (let round = 0; round < rounds * TIMES; round++) {
    const place = `round ${round} of seed ${SEED}`;
    const started = performance.now();
    try {
      await limitAllocations(LIMIT_BUFFER_BYTES, () => use(below));
    } catch (error) {
      assert.ok(error instanceof DistriError, `${place}: ${error instanceof Error ? error.stack : error}`);
      assert.notEqual(error.code, 'internal', `${place}: ${error.message}`);
      assert.ok(error.message.length < 2000, `${place}: ${error.message.length} characters`);
      refused += 1;
    }
    const took = performance.now() - started;
    assert.ok(took < LIMIT_MS, `${place} took ${took.toFixed(0)} ms`);
  }
  const grown = (process.resourceUsage().maxRSS - largestBefore) * 1024;
  assert.ok(grown < LIMIT_BYTES, `${(grown / 1e6).toFixed(0)} MB more`);
  assert.ok(refused > rounds / 10, `${refused} of ${rounds} refused`);
  assert.ok(refused < rounds * TIMES, 'nothing was accepted');
}

/** `config` with one to three changes, some to its text as it would be in a file. */
function mutated(config: JsonObject, below: Below): JsonObject {
  let value: unknown = config;
  for (let changes = 1 + below(3); changes > 0; changes--) value = mutateJson(value, below);
  if (below(4) === 0) {
    const text = Buffer.from(mutateBytes(Buffer.from(JSON.stringify(config)), below)).toString();
    value = parseJson(text, 'config.json');
  }
  if (!isJsonObject(value)) throw new DistriError('checkpoint', 'config.json: not a JSON object');
  return value;
}

/** Builds a component's graph out of a config that was accepted, with weights that may not fit it. */
async function build(component: string, addModel: (layers: SingleDevice) => void): Promise<void> {
  const kernels = new Kernels(new Graph());
  addModel(new SingleDevice(kernels, await checkpoint.weights(component)));
  modelOf(kernels.graph.program().step);
}

test('mutated configs of a UNet', async () => {
  const original = await checkpoint.config('unet');
  const shapes = { batch: 2, rows: 16, columns: 16, textTokens: 77 };
  await fuzz(1500, (below) => {
    const config = readUNet2DConditionConfig(mutated(original, below));
    return build('unet', (layers) => {
      new UNet2DConditionModel(config, layers).build(shapes);
    });
  });
});

test('mutated configs of a VAE', async () => {
  const original = await checkpoint.config('vae');
  await fuzz(1000, (below) => {
    const config = readAutoencoderKLConfig(mutated(original, below));
    return build('vae', (layers) => {
      new AutoencoderKLDecoder(config, layers).build({ batch: 1, rows: 16, columns: 16 });
    });
  });
});

test('mutated configs of a text encoder', async () => {
  const original = await checkpoint.config('text_encoder_2');
  await fuzz(1000, (below) => {
    const config = readCLIPTextConfig('text_encoder_2', mutated(original, below));
    return build('text_encoder_2', (layers) => {
      const hiddenLayer = config.layers - 1;
      new CLIPTextModel(config, layers).build({ batch: 1, hiddenLayer, pooled: true });
    });
  });
});

test('mutated configs of a scheduler', async () => {
  const original = await readJsonObject(join(tinySdxl, 'scheduler', 'scheduler_config.json'));
  await fuzz(1500, (below) => {
    const scheduler = createScheduler(pick(schedulerNames, below), mutated(original, below));
    scheduler.setTimesteps(pick([1, 2, 20, 50], below));
    let sample: Float32Array = Float32Array.of(1, -2, 3, 0.5);
    for (const timestep of scheduler.timesteps.slice(0, 3)) {
      const input = scheduler.scaleModelInput(sample, timestep);
      sample = scheduler.step(input, timestep, sample, {
        noise: () => Float32Array.of(1, 2, 3, 4),
        batch: 1,
      });
    }
  });
});

test('mutated files of a tokenizer: vocab.json, merges.txt and what is beside them', async () => {
  const names = ['vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json'];
  const originals = await Promise.all(names.map((name) => readFile(join(folder, name))));
  await fuzz(1000, async (below) => {
    // Mostly the two large ones.
    const file = below(3) === 0 ? below(names.length) : below(2);
    const path = join(folder, names[file] as string);
    const original = originals[file] as Buffer;
    let bytes: Uint8Array = original;
    const structured = path.endsWith('.json') && below(2) === 0;
    if (structured) {
      const changed = mutateJson(parseJson(original.toString(), path), below);
      bytes = Buffer.from(JSON.stringify(changed) ?? '');
    } else {
      for (let changes = 1 + below(3); changes > 0; changes--) bytes = mutateBytes(bytes, below);
    }
    await writeFile(path, bytes);
    try {
      const { ids } = (await CLIPTokenizer.load(folder)).encode(
        'a small RED ring, 3 boxes — é 漢字 <|endoftext|>!',
      );
      assert.ok(ids.every((id) => Number.isInteger(id) && id >= 0));
    } finally {
      await writeFile(path, original);
    }
  });
});
