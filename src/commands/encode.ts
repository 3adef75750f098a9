import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { chooseOutputPath } from '../app/output-paths.js';
import { openVae, runVae, type VaeContext } from '../app/vae.js';
import { DistriError } from '../base/errors.js';
import { Staging } from '../base/staging.js';
import { writeSafetensors } from '../checkpoint/formats/safetensors.js';
import { pictureSize, readPicture, wholeUnits } from '../images/picture.js';
import { vaeScaleFactor } from '../models/autoencoder-kl.js';
import { type RngName, rngNames } from '../tensor/random.js';
import { oneOf, seed, text } from './options/parsers.js';
import { addVaeOptions, type VaeOptions } from './options/vae.js';
import { Terminal } from './output/terminal.js';

const examples = `
Examples:
  distri encode photo.jpg --output latents.safetensors
  distri encode photo.jpg --sample --seed 7 --output latents.safetensors
  distri encode photo.jpg -n 4 --model stabilityai/stable-diffusion-xl-base-1.0 --output latents.safetensors
  distri decode latents.safetensors --output copy.png`;

interface EncodeOptions extends VaeOptions {
  readonly output?: string;
  readonly sample?: true;
  readonly seed?: bigint;
  readonly rng: RngName;
}

/** `distri encode`. `interruption` is aborted when the user wants it to end. */
export function encodeCommand(interruption: AbortSignal): Command {
  const command = new Command('encode')
    .description("Encode a picture to latents with a checkpoint's VAE, spread over several processes.")
    .argument('<image>', 'PNG, JPEG or WebP; sides that are no multiple of 8 are scaled down to one')
    .addHelpText('after', examples)
    .addOption(
      new Option(
        '--output <file>',
        '.safetensors file for the latents (default: a new name in results/)',
      ).argParser(text('--output')),
    )
    .addOption(new Option('--sample', "draw from the latents' distribution instead of taking its mean"))
    .addOption(new Option('--seed <n>', 'seed of --sample (default: 1234)').argParser(seed('--seed')))
    .addOption(
      new Option('--rng <name>', `generator of --sample: ${rngNames.join(', ')}`)
        .argParser(oneOf('--rng', rngNames))
        .default('cpu', 'cpu'),
    );
  return addVaeOptions(command).action(async (image: string, _options, { optsWithGlobals }: Command) => {
    const options = optsWithGlobals.call(command) as EncodeOptions;
    const verbosity = options.quiet ? 'quiet' : options.verbose ? 'verbose' : 'normal';
    await encode(resolve(image), options, { terminal: new Terminal(verbosity), interruption });
  });
}

async function encode(path: string, options: EncodeOptions, context: VaeContext): Promise<void> {
  if (options.seed !== undefined && !options.sample) {
    throw new DistriError('usage', '--seed needs --sample: the mean of the latents has no chance in it');
  }
  const output = chooseOutputPath(options.output, 'latents', '.safetensors', '--output');
  const staging = new Staging();
  const folder = await mkdtemp(join(tmpdir(), 'distri-encode-'));
  try {
    const latents = await staging.add(output);
    const vae = await openVae(options, context);
    const size = wholeUnits(await pictureSize(path), vaeScaleFactor(vae.config));
    const pixels = await readPicture(path, size);
    const input = join(folder, 'pixels.safetensors');
    await writeSafetensors(input, { pixels });
    const sample = options.sample ? { seed: options.seed ?? 1234n, rng: options.rng } : undefined;
    const task = { kind: 'encode', input, latents, sample } as const;
    await runVae(
      vae,
      { half: 'encode', size: { rows: size.height, columns: size.width } },
      task,
      options,
      context,
    );
    await staging.commit();
    context.terminal.result(output);
  } catch (error) {
    throw staging.withTargets(error);
  } finally {
    await staging.discard();
    await rm(folder, { recursive: true, force: true });
  }
}
