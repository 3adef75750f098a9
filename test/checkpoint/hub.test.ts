import assert from 'node:assert/strict';
import {
  lstat,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { hubEnvironment } from '../../src/checkpoint/hub/environment.js';
import { type HubOptions, resolveHubId } from '../../src/checkpoint/hub/hub.js';
import { isHubId } from '../../src/checkpoint/hub/id.js';
import { layouts, openCheckpoint } from '../../src/families/open-checkpoint.js';
import { type Files, gitId, HubServer, sha256 } from './fixtures/hub-server.js';

const ID = 'some-org/tiny.sdxl';
const UNET = 'unet/diffusion_pytorch_model.safetensors';

const components = ['scheduler', 'text_encoder', 'text_encoder_2', 'tokenizer', 'tokenizer_2', 'unet', 'vae'];
const index = {
  _class_name: 'StableDiffusionXLPipeline',
  ...Object.fromEntries(components.map((name) => [name, ['library', 'Class']])),
  feature_extractor: [null, null],
};

/** Bytes that differ from file to file, and from place to place. */
function filler(name: string, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) + name.length * 31) & 0xff);
}

function repository(): Record<string, Uint8Array> {
  const files: Record<string, Uint8Array> = { 'model_index.json': Buffer.from(JSON.stringify(index)) };
  const add = (path: string, length = 50) => {
    files[path] = path.endsWith('.json') ? Buffer.from(JSON.stringify({ path })) : filler(path, length);
  };
  add('scheduler/scheduler_config.json');
  for (const tokenizer of ['tokenizer', 'tokenizer_2']) {
    for (const name of ['merges.txt', 'vocab.json', 'tokenizer_config.json', 'special_tokens_map.json']) {
      add(`${tokenizer}/${name}`);
    }
  }
  for (const model of ['text_encoder', 'text_encoder_2', 'unet', 'vae']) {
    const name = model.startsWith('text') ? 'model' : 'diffusion_pytorch_model';
    add(`${model}/config.json`);
    add(`${model}/${name}.safetensors`, 300_000);
    add(`${model}/${name}.fp16.safetensors`, 150_000);
    add(`${model}/${name}.bin`);
    add(`${model}/flax_model.msgpack`);
    add(`${model}/model.onnx`);
  }
  for (const other of [
    'README.md',
    'sd_xl_base_1.0.safetensors',
    'safety_checker/config.json',
    'vae_1_0/config.json',
  ]) {
    add(other);
  }
  return files;
}

function needed(files: Files, variant: '' | '.fp16'): string[] {
  return Object.keys(files).filter((path) => {
    const [folder = '', name] = path.split('/');
    if (name === undefined) return path === 'model_index.json';
    return (
      components.includes(folder) &&
      (/\.(?:json|txt)$/.test(name) ||
        name === `model${variant}.safetensors` ||
        name === `diffusion_pytorch_model${variant}.safetensors`)
    );
  });
}

let server: HubServer;
let files: Record<string, Uint8Array>;
let commit: string;
let home: string;
let environment: NodeJS.ProcessEnv;

beforeEach(async () => {
  home = await realpath(await mkdtemp(join(tmpdir(), 'distri-hub-')));
  server = new HubServer(ID);
  await server.start();
  files = repository();
  commit = server.push('main', files);
  environment = { ...process.env };
  for (const name of Object.keys(process.env))
    if (/^(?:HF|HUGGING|TRANSFORMERS)/.test(name)) delete process.env[name];
  process.env.HF_HOME = home;
  process.env.HF_ENDPOINT = server.url;
});
afterEach(async () => {
  process.env = environment;
  await server.stop();
  await rm(home, { recursive: true });
});

const resolveId = (options?: HubOptions) => resolveHubId(ID, layouts, options);
const modelFolder = () => join(home, 'hub', 'models--some-org--tiny.sdxl');

async function tree(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

async function failure(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  const error: unknown = await promise.then(
    () => assert.fail('did not fail'),
    (thrown) => thrown,
  );
  assert.ok(error instanceof Error);
  assert.ok(!error.message.includes('\n'), 'is one line');
  return error;
}

describe('a model of the hub', () => {
  it('is downloaded into the shared cache, only as far as it is needed', async () => {
    const reports: [number, number][] = [];
    const directory = await resolveId({ onProgress: (...report) => reports.push(report) });
    assert.equal(directory, join(modelFolder(), 'snapshots', commit));
    assert.deepEqual(await tree(directory), needed(files, '').sort());
    assert.deepEqual(server.transfers.toSorted(), needed(files, '').sort());
    for (const path of needed(files, ''))
      assert.deepEqual(
        new Uint8Array(await readFile(join(directory, path))),
        new Uint8Array(files[path] ?? []),
      );
    assert.equal(await readFile(join(modelFolder(), 'refs', 'main'), 'utf8'), commit);

    const [done, total] = reports.at(-1) ?? [];
    const weights = needed(files, '').filter((path) => path !== 'model_index.json');
    assert.equal(
      total,
      weights.reduce((sum, path) => sum + (files[path]?.length ?? 0), 0),
    );
    assert.equal(done, total);
    assert.deepEqual(
      reports,
      reports.toSorted(([a], [b]) => a - b),
    );
  });

  it('lies in blobs named by their hash, with relative links to them', async () => {
    const directory = await resolveId();
    const unet = files[UNET] ?? Buffer.of();
    const config = files['unet/config.json'] ?? Buffer.of();
    assert.equal(await readlink(join(directory, UNET)), `../../../blobs/${sha256(unet)}`);
    assert.equal(await readlink(join(directory, 'unet/config.json')), `../../../blobs/${gitId(config)}`);
    assert.equal(
      await readlink(join(directory, 'model_index.json')),
      `../../blobs/${gitId(files['model_index.json'] ?? Buffer.of())}`,
    );
  });

  it('is downloaded in the variant asked for', async () => {
    const directory = await resolveId({ variant: 'fp16' });
    assert.deepEqual(await tree(directory), needed(files, '.fp16').sort());
    const error = await failure(resolveId({ variant: 'bf16' }));
    assert.match(
      error.message,
      /text_encoder: no weights of variant "bf16"; there are no variant \(.*"fp16"/,
    );
  });

  it('with sharded weights is downloaded with its index and all shards', async () => {
    delete files[UNET];
    const shards = [1, 2].map((i) => `diffusion_pytorch_model-0000${i}-of-00002.safetensors`);
    for (const shard of shards) files[`unet/${shard}`] = filler(shard, 1000);
    files['unet/diffusion_pytorch_model-00003-of-00003.safetensors'] = filler('stray', 10);
    const map = { a: shards[0], b: shards[1] };
    files['unet/diffusion_pytorch_model.safetensors.index.json'] = Buffer.from(
      JSON.stringify({ weight_map: map }),
    );
    server.push('main', files);
    const directory = await resolveId();
    assert.deepEqual(
      (await readdir(join(directory, 'unet'))).sort(),
      ['config.json', ...shards, 'diffusion_pytorch_model.safetensors.index.json'].sort(),
    );
  });

  it('is not transferred twice', async () => {
    await resolveId();
    const before = server.transfers.length;
    await resolveId();
    assert.equal(server.transfers.length, before);
  });

  it('is brought up to date, sharing what stayed the same', async () => {
    await resolveId();
    const before = server.transfers.length;
    files = { ...files, 'vae/config.json': Buffer.from('{"changed": true}') };
    const updated = server.push('main', files);
    const directory = await resolveId();
    assert.equal(directory, join(modelFolder(), 'snapshots', updated));
    assert.deepEqual(server.transfers.slice(before), ['vae/config.json']);
    assert.deepEqual(await tree(directory), needed(files, '').sort());
  });

  it('whose file in the cache was cut short is repaired', async () => {
    const directory = await resolveId();
    await truncate(await realpath(join(directory, UNET)), 1000);
    const before = server.transfers.length;
    await resolveId();
    assert.deepEqual(server.transfers.slice(before), [UNET]);
    assert.equal((await readFile(join(directory, UNET))).length, 300_000);
  });

  it('of a class that distri cannot run is refused before its weights are downloaded', async () => {
    files['model_index.json'] = Buffer.from('{"_class_name": "SanaPipeline"}');
    server.push('main', files);
    const error = await failure(openCheckpoint(ID));
    assert.match(error.message, /"SanaPipeline" is not supported/);
    assert.deepEqual(server.transfers, ['model_index.json']);
  });

  it('that is no pipeline, or lacks a component, is refused', async () => {
    server.push('lora', { 'x.safetensors': filler('x', 10) });
    assert.match((await failure(resolveId({ revision: 'lora' }))).message, /has no model_index.json/);
    server.push(
      'part',
      Object.fromEntries(Object.entries(files).filter(([path]) => !path.startsWith('vae/'))),
    );
    assert.match((await failure(resolveId({ revision: 'part' }))).message, /has no folder vae/);
  });
});

describe('a revision', () => {
  it('is a branch, whose name may have a slash', async () => {
    const other = server.push('refs/pr/1', files);
    assert.equal(await resolveId({ revision: 'refs/pr/1' }), join(modelFolder(), 'snapshots', other));
    assert.equal(await readFile(join(modelFolder(), 'refs', 'refs', 'pr', '1'), 'utf8'), other);
  });

  it('is a commit, which needs no reference', async () => {
    server.push('main', { ...files, 'unet/config.json': Buffer.from('{}') });
    assert.equal(await resolveId({ revision: commit }), join(modelFolder(), 'snapshots', commit));
    await assert.rejects(readdir(join(modelFolder(), 'refs')), { code: 'ENOENT' });
    assert.ok(await resolveId({ revision: commit, offline: true }));
  });

  it('that does not exist is named', async () => {
    const error = await failure(resolveId({ revision: 'v9' }));
    assert.equal(error.code, 'network');
    assert.match(error.message, /no such model with a revision "v9" at http:.*\(404\)/);
  });

  it('cannot lead out of the cache', async () => {
    assert.equal(
      (await failure(resolveId({ revision: '../x', offline: true }))).message.includes('offline'),
      true,
    );
    assert.deepEqual(await readdir(home), []);
  });
});

describe('without a network', () => {
  it('the cache is used, offline by wish, by environment or by accident', async () => {
    const directory = await resolveId();
    await server.stop();
    assert.equal(await resolveId({ offline: true }), directory);
    assert.equal(await resolveId(), directory);
    process.env.HF_HUB_OFFLINE = 'yes';
    assert.equal(await resolveId(), directory);
  });

  it('offline asks nobody', async () => {
    await failure(resolveId({ offline: true }));
    assert.deepEqual(server.requests, []);
  });

  it('what is not cached is refused with the place that was looked at', async () => {
    const error = await failure(resolveId({ offline: true }));
    assert.equal(error.code, 'checkpoint');
    assert.ok(error.message.includes(`${modelFolder()} has no revision "main"`));
  });

  it('what is cached in part is refused with what is missing', async () => {
    const directory = await resolveId();
    await rm(join(directory, 'vae'), { recursive: true });
    assert.match(
      (await failure(resolveId({ offline: true }))).message,
      /vae is missing; unset HF_HUB_OFFLINE/,
    );
    await rm(join(directory, UNET));
    assert.match((await failure(resolveId({ offline: true }))).message, /unet: no weights/);
  });

  it('says why nothing was reached', async () => {
    await server.stop();
    const error = await failure(resolveId());
    assert.equal(error.code, 'network');
    assert.match(
      error.message,
      /the download from http:.* failed: .*ECONNREFUSED.*; check the network and HF_ENDPOINT/,
    );
  });
});

describe('a transfer', () => {
  const unetBlob = () => join(modelFolder(), 'blobs', sha256(files[UNET] ?? Buffer.of()));
  const absent = (path: string) => assert.rejects(lstat(path), { code: 'ENOENT' });

  it('that is cut is continued where it ended', async () => {
    server.faults.set(UNET, ['cut']);
    const directory = await resolveId();
    assert.deepEqual(new Uint8Array(await readFile(join(directory, UNET))), files[UNET]);
    const ranges = server.requests
      .filter(({ host, path }) => host === 'storage' && path.endsWith(UNET))
      .map(({ range }) => range);
    assert.equal(ranges.length, 2);
    assert.match(ranges[1] ?? '', /^bytes=\d+-$/);
  });

  it('that is cut again and again leaves nothing that loads, and is continued by the next run', async () => {
    server.faults.set(UNET, ['cut', 'cut', 'cut']);
    const error = await failure(resolveId());
    assert.equal(error.code, 'network');
    await absent(unetBlob());
    await absent(join(modelFolder(), 'snapshots', commit, UNET));
    await absent(join(modelFolder(), 'refs', 'main'));
    await failure(resolveId({ offline: true }));

    server.requests.length = 0;
    const directory = await resolveId();
    assert.deepEqual(new Uint8Array(await readFile(join(directory, UNET))), files[UNET]);
    assert.match(server.requests.find(({ path }) => path.endsWith(UNET))?.range ?? '', /^bytes=\d+-$/);
    assert.ok((await readdir(join(modelFolder(), 'blobs'))).every((name) => !name.includes('incomplete')));
  });

  it('that ends early without a word is continued, too', async () => {
    server.faults.set(UNET, ['short']);
    const directory = await resolveId();
    assert.deepEqual(new Uint8Array(await readFile(join(directory, UNET))), files[UNET]);
  });

  for (const path of [UNET, 'tokenizer/merges.txt']) {
    for (const fault of ['corrupt', 'long'] as const) {
      it(`of ${path} that is ${fault} leaves nothing`, async () => {
        server.faults.set(path, [fault]);
        const error = await failure(resolveId());
        assert.equal(error.code, 'network');
        assert.match(error.message, new RegExp(`^${path}: the download is corrupt`));
        await absent(join(modelFolder(), 'snapshots', commit, path));
        await absent(join(modelFolder(), 'refs', 'main'));
        assert.ok(
          (await readdir(join(modelFolder(), 'blobs'))).every((name) => !name.includes('incomplete')),
        );
        await resolveId();
      });
    }
  }

  it('is begun anew where the server ignores the range', async () => {
    server.faults.set(UNET, ['cut', 'ignore-range']);
    const directory = await resolveId();
    assert.deepEqual(new Uint8Array(await readFile(join(directory, UNET))), files[UNET]);
  });

  it('is begun anew where the part of an earlier one is corrupt', async () => {
    await resolveId({ variant: 'fp16' });
    await writeFile(`${unetBlob()}.distri.incomplete`, 'not the beginning of this file');
    const directory = await resolveId();
    assert.deepEqual(new Uint8Array(await readFile(join(directory, UNET))), files[UNET]);
  });

  it('may be made twice at once', async () => {
    const [first, second] = await Promise.all([resolveId(), resolveId()]);
    assert.equal(first, second);
    assert.deepEqual(await tree(first), needed(files, '').sort());
  });
});

describe('an answer of the hub', () => {
  const listed = (path: string) => ({ type: 'file', path, size: 3, oid: gitId(Buffer.from('abc')) });

  it('that names a path outside of the repository is refused before anything is written', async () => {
    const paths = [
      '../x.json',
      'unet/../../x',
      '/etc/x',
      'unet//x',
      './x',
      'unet/x\0.json',
      '',
      'x'.repeat(5000),
    ];
    for (const path of paths) {
      server.listedToo.splice(0, 1, listed(path));
      const error = await failure(resolveId());
      assert.equal(error.code, 'network');
      assert.match(error.message, /^some-org\/tiny\.sdxl: http:.* gives the path ".*, which is not one$/);
      assert.ok(error.message.length < 300);
      assert.deepEqual(await readdir(home), []);
    }
  });

  it('that names no size, or no object, is refused', async () => {
    for (const changes of [{ size: -1 }, { size: 0.5 }, { size: '3' }, { oid: '../x' }]) {
      server.listedToo.splice(0, 1, { ...listed('x.json'), ...changes });
      assert.match((await failure(resolveId())).message, /gives the (?:size|object id) .*"x\.json"/);
    }
  });

  it('that becomes far too long when it is decompressed is refused in little memory', async () => {
    server.padding = 300_000_000;
    const before = process.resourceUsage().maxRSS;
    const error = await failure(resolveId());
    assert.equal(error.code, 'network');
    assert.match(error.message, /answers with more than 16\.8 MB/);
    const grown = (process.resourceUsage().maxRSS - before) * 1024;
    assert.ok(grown < 200e6, `${grown} bytes more`);
  });

  for (const echo of ['as JSON', 'in a header'] as const) {
    it(`that repeats the token ${echo} is shown without it`, async () => {
      process.env.HF_TOKEN = 'hf_secretsecretsecretsecret';
      server.echo = echo;
      const error = await failure(resolveId());
      assert.match(error.message, /answers 418: .*Bearer /);
      assert.ok(!error.message.includes('hf_secret'), error.message);
      assert.ok(!error.stack?.includes('hf_secret'), error.stack);
    });
  }
});

describe('access', () => {
  it('is refused with the way to get it', async () => {
    server.refusal = { status: 401, token: 'hf_right' };
    const unknown = await failure(resolveId());
    assert.equal(unknown.code, 'network');
    assert.match(unknown.message, /\(401\).*set HF_TOKEN.*licence is accepted at http:.*some-org\/tiny.sdxl/);
    server.refusal = { status: 403, token: 'hf_right' };
    process.env.HF_TOKEN = 'hf_wrong';
    assert.match(
      (await failure(resolveId())).message,
      /\(403\): accept the licence at http:.*some-org\/tiny.sdxl/,
    );
  });

  it('is asked for with the token, which only the hub sees', async () => {
    server.refusal = { status: 401, token: 'any-form-of-token' };
    process.env.HF_TOKEN = 'any-form-of-token';
    await resolveId();
    for (const { host, authorization } of server.requests) {
      assert.equal(authorization, host === 'hub' ? 'Bearer any-form-of-token' : undefined);
    }
    assert.ok(server.requests.some(({ host }) => host === 'storage'));
  });

  it('is asked for without a token when none is set', async () => {
    await resolveId();
    assert.ok(server.requests.every(({ authorization }) => authorization === undefined));
  });
});

describe('the environment', () => {
  it('names the token in the order of huggingface_hub', async () => {
    await writeFile(join(home, 'token'), 'hf_file\n');
    await writeFile(join(home, 'other'), 'hf_other\n');
    const token = async (env: NodeJS.ProcessEnv) => (await hubEnvironment({ HF_HOME: home, ...env })).token;
    assert.equal(await token({}), 'hf_file');
    assert.equal(await token({ HF_TOKEN_PATH: join(home, 'other') }), 'hf_other');
    assert.equal(await token({ HUGGING_FACE_HUB_TOKEN: 'hf_old' }), 'hf_old');
    assert.equal(await token({ HF_TOKEN: 'hf_env', HUGGING_FACE_HUB_TOKEN: 'hf_old' }), 'hf_env');
    assert.equal(await token({ HF_TOKEN: 'hf_env', HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' }), undefined);
    assert.equal(await token({ HF_HOME: join(home, 'absent') }), undefined);
    const error = await failure(token({ HF_TOKEN: 'hf_a\nb' }));
    assert.ok(!error.message.includes('hf_a'), 'does not show the token');
  });

  it('names the cache in the order of huggingface_hub', async () => {
    const cache = async (env: NodeJS.ProcessEnv) => (await hubEnvironment(env)).cacheDir;
    const all = { HF_HUB_CACHE: '/a', HUGGINGFACE_HUB_CACHE: '/b', HF_HOME: '/c', XDG_CACHE_HOME: '/d' };
    assert.equal(await cache(all), '/a');
    assert.equal(await cache({ ...all, HF_HUB_CACHE: '' }), '/b');
    assert.equal(await cache({ HF_HOME: '/c', XDG_CACHE_HOME: '/d' }), '/c/hub');
    assert.equal(await cache({ XDG_CACHE_HOME: '/d' }), '/d/huggingface/hub');
    assert.match(await cache({}), /\/\.cache\/huggingface\/hub$/);
  });

  it('must name an endpoint that is a URL', async () => {
    assert.match((await failure(hubEnvironment({ HF_ENDPOINT: 'hub' }))).message, /a URL for HF_ENDPOINT/);
    assert.equal((await hubEnvironment({ HF_ENDPOINT: 'https://hub/x/' })).endpoint, 'https://hub/x');
  });
});

it('an id of the hub is organization/name', () => {
  const ids = ['stabilityai/stable-diffusion-xl-base-1.0', 'a/b', 'org_1/x_y.z'];
  const others = [
    '',
    'name',
    '/a/b',
    './a/b',
    '../a',
    'a/b/c',
    '~/a',
    'a/',
    'a/..',
    'a/b--c',
    'a/b.git',
    'a/b.',
    '-a/b',
    'a b/c',
    'a/é',
  ];
  for (const id of ids) assert.ok(isHubId(id), id);
  for (const id of others) assert.ok(!isHubId(id), id);
});
