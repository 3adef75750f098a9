import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { DistriError } from '../../../src/base/errors.js';
import { normalizeArguments } from '../../../src/commands/options/arguments.js';
import { addRunOptions, checkRunOptions, type RunOptions } from '../../../src/commands/options/run.js';
import { families } from '../../../src/families/registry.js';
import { stableDiffusionXL } from '../../../src/families/stable-diffusion-xl.js';

function parse(...argv: string[]): RunOptions {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => {} });
  addRunOptions(command, stableDiffusionXL);
  command.parse(normalizeArguments(argv, { name: '', options: [] }, []), { from: 'user' });
  const options = command.opts<RunOptions>();
  checkRunOptions(options);
  return options;
}

test("the defaults are those of distrifuser's script", () => {
  const { nproc_per_node: ranks, ...options } = parse();
  assert.ok(ranks === 1 || ranks === 2);
  // Those of strategies are in their descriptors.
  assert.deepEqual(options, {
    mode: 'generation',
    num_inference_steps: 50,
    guidance_scale: 5,
    scheduler: 'ddim',
    seed: 1234n,
    parallelism: 'patch',
    vae: 'auto',
    output_type: 'pil',
    warmup_times: 5,
    test_times: 20,
    ignore_ratio: 0.2,
    num_images_per_prompt: 1,
    rng: 'cpu',
    weights: 'auto',
    comm_timeout: 60,
    dtype: 'auto',
    engine: 'auto',
  });
});

test('no option is there twice, whatever the family', () => {
  for (const family of families) {
    const { options } = addRunOptions(new Command(), family);
    const names = options.flatMap(({ short, long }) => [short, long].filter((name) => name !== undefined));
    assert.equal(new Set(names).size, names.length, family.name);
  }
});

const accepted: readonly [argv: string[], option: keyof RunOptions & string, value: unknown][] = [
  [['-n', '4'], 'nproc_per_node', 4],
  [['--nproc-per-node=3'], 'nproc_per_node', 3],
  [['--model', 'a/b'], 'pretrained_model_name_or_path', 'a/b'],
  [['--pretrained-model-name-or-path', 'a/b'], 'pretrained_model_name_or_path', 'a/b'],
  [['--image_size', '512'], 'image_size', [512]],
  [['--image-size', '512', '768', '-n', '1'], 'image_size', [512, 768]],
  [['--height', '512', '--width', '768'], 'width', 768],
  [['--prompt', 'a', '--prompt', 'b c'], 'prompt', ['a', 'b c']],
  [['--negative_prompt', ''], 'negative_prompt', ['']],
  [['--prompt', 'a', '--prompt', 'b', '--negative_prompt', 'c'], 'negative_prompt', ['c']],
  [['--seed', '-1'], 'seed', 2n ** 64n - 1n],
  [['--seed', '18446744073709551615'], 'seed', 2n ** 64n - 1n],
  [['--guidance_scale', '1e0'], 'guidance_scale', 1],
  [['--comm-timeout', '2.5'], 'comm_timeout', 2.5],
  [['--no-split-batch'], 'no_split_batch', true],
  [['--no-cuda-graph'], 'no_cuda_graph', true],
  [['--vae', 'tiled'], 'vae', 'tiled'],
  [['--scheduler', 'dpm-solver'], 'scheduler', 'dpm-solver'],
  [['--trace', 'x.safetensors'], 'trace', 'x.safetensors'],
  [['--json', 'x.json'], 'json', 'x.json'],
  [['--prompts', 'b.txt', '--json', 'x.json'], 'json', 'x.json'],
];

for (const [argv, option, value] of accepted) {
  test(`${argv.join(' ')} sets ${option}`, () => assert.deepEqual(parse(...argv)[option], value));
}

const refused: readonly [argv: string[], message: RegExp][] = [
  [['-n', '0'], /^Expected a positive integer up to 1024 for --nproc_per_node but received "0"$/],
  [['-n', '2.5'], /--nproc_per_node/],
  [['--threads', 'two'], /^Expected a positive integer up to 1024 for --threads but received "two"$/],
  [['--image_size', '500'], /multiple of 8 \(496 and 504 are near\) for --image_size/],
  [['--image_size', '0'], /multiple of 8 for --image_size/],
  [['--image_size', '-8'], /multiple of 8 for --image_size/],
  [['--image_size', '100000'], /^Expected at most 32768 pixels for --image_size/],
  [['--image_size', '64', '--height', '64'], /^--image_size and --height or --width exclude each other/],
  [['--strength', '0.5'], /^--strength needs --init_image/],
  [['-n', '99999999999'], /^Expected a positive integer up to 1024 for --nproc_per_node/],
  [['--image_size', '8', '16', '24'], /^Expected one number, or height and width, for --image_size/],
  [['--num_inference_steps', ''], /--num_inference_steps/],
  [['--num_inference_steps', '1e3'], /--num_inference_steps/],
  [['--guidance_scale', 'Infinity'], /^Expected a number of at least 0 for --guidance_scale/],
  [['--eta', '1.5'], /^Expected a number from 0 to 1 for --eta/],
  [['--seed', '18446744073709551616'], /^Expected an integer from -2\^63 to 2\^64 - 1 for --seed/],
  [['--seed', '0x10'], /--seed/],
  [['--scheduler', 'dim'], /^Expected one of .*ddim, euler, dpm-solver.* for --scheduler but received "dim"/],
  [['--sync_mode', 'async'], /^Expected one of corrected_async_gn, .* for --sync_mode/],
  [['--comm_timeout', '0.1'], /^Expected a number from 1 to 1000000 for --comm_timeout/],
  [['--prompt', ' '], /^Expected a text for --prompt/],
  [['--trace', 'x.npz'], /^Expected a path that ends in \.safetensors for --trace/],
  [
    ['--negative_prompt', 'a', '--negative_prompt', 'b'],
    /^Expected one --negative_prompt, or as many as prompts \(1\), for --negative_prompt but received 2/,
  ],
  [['--prompt', 'a', '--prompts', 'b.txt'], /^--prompt and --prompts exclude each other/],
  [
    ['-n', '4', '--data_parallel', '3'],
    /^Expected a divisor of the number of ranks \(4\) for --data_parallel/,
  ],
  [['--prompts', 'b.txt', '--trace', 'x.safetensors'], /^--trace is of one call/],
  [['--mode', 'benchmark', '--prompts', 'b.txt'], /^--mode benchmark measures one call/],
  [['--random_weights', 'sdxl-mid'], /^--random_weights needs --mode benchmark/],
  [['--mode', 'benchmark', '--ignore_ratio', '1'], /^Expected a number less than 1 for --ignore_ratio/],
  [['--mode', 'benchmark', '--trace', 'x.safetensors'], /^--trace would slow the benchmark down/],
  [
    ['--mode', 'benchmark', '--random_weights', 'sdxl-mid', '--variant', 'fp16'],
    /^--random_weights has no checkpoint; leave out --variant/,
  ],
  [['--promt', 'x'], /unknown option '--promt'\n\(Did you mean --prompt\?\)/],
  [['--warmup-step', '1'], /unknown option '--warmup_step'\n\(Did you mean --warmup_steps\?\)/],
  [['--prompt'], /argument missing/],
];

for (const [argv, message] of refused) {
  test(`${argv.join(' ')} is refused`, () => {
    assert.throws(
      () => parse(...argv),
      (error: Error) => {
        assert.match(error.message, message);
        if (error instanceof DistriError) assert.equal(error.code, 'usage');
        return true;
      },
    );
  });
}
