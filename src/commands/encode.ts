import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { chooseOutputPath } from '../app/output-paths.js';
import { openVae, runVae } from '../app/vae.js';
import { DistriError } from '../base/errors.js';
import { fileError } from '../base/file-io.js';
import { Staging } from '../base/staging.js';
import { writeSafetensors } from '../checkpoint/formats/safetensors.js';
import { pictureSize, readPicture, wholeUnits } from '../images/picture.js';
import { vaeScaleFactor } from '../models/autoencoder-kl.js';
import { type RngName, rngNames } from '../tensor/random.js';
import type { CommandContext, RunContext } from './context.js';
import { choice, flag, value } from './options/build.js';
import { launchedRanks } from './options/launched-ranks.js';
import { seed } from './options/parsers.js';
import { addVaeOptions, spreadVae, type VaeOptions } from './options/vae.js';
import { exampleLines } from './output/examples.js';
import { terminalOf } from './output/terminal.js';
import { vaeRunLines } from './output/vae.js';

const examples = [
  'photo.jpg --output latents.safetensors',
  'photo.jpg --sample --seed 7 --output latents.safetensors',
  'photo.jpg -n 4 --model stabilityai/stable-diffusion-xl-base-1.0 --output latents.safetensors',
];

interface EncodeOptions extends VaeOptions {
  readonly sample?: true;
  readonly seed?: bigint;
  readonly rng: RngName;
}

/** `distri encode`. */
export function encodeCommand({ signal, launched }: CommandContext): Command {
  const command = new Command('encode')
    .description("Encode a picture to latents with a checkpoint's VAE, spread over several processes.")
    .argument('<image>', 'PNG, JPEG or WebP; sides that are no multiple of 8 are scaled down to one')
    .addHelpText('after', exampleLines('encode', examples))
    .addOption(flag('--sample', "draw from the latents' distribution instead of taking its mean"))
    .addOption(value('--seed <n>', 'seed of --sample (default: 1234)', seed))
    .addOption(choice('--rng <name>', 'generator of --sample', rngNames, 'cpu'));
  const output = '.safetensors file for the latents (default: a new name in results/)';
  return addVaeOptions(command, output).action(async (image: string) => {
    const options = { ...command.opts<EncodeOptions>(), ...launchedRanks(command, launched) };
    await encode(resolve(image), options, { observer: terminalOf(command), signal, launched });
  });
}

async function encode(path: string, options: EncodeOptions, context: RunContext): Promise<void> {
  if (options.seed !== undefined && !options.sample) {
    throw new DistriError('usage', '--seed needs --sample: the mean of the latents has no chance in it');
  }
  const output = chooseOutputPath(options.output_path, 'latents', '.safetensors', '--output');
  const staging = new Staging();
  const folder = await temporaryFolder();
  try {
    const latents = await staging.add(output);
    const spread = spreadVae(options);
    const vae = await openVae(spread, context);
    const size = wholeUnits(await pictureSize(path), vaeScaleFactor(vae.config));
    const pixels = await readPicture(path, size);
    const input = join(folder, 'pixels.safetensors');
    await writeSafetensors(input, { pixels });
    const sample = options.sample ? { seed: options.seed ?? 1234n, rng: options.rng } : undefined;
    const task = { kind: 'encode', input, latents, sample } as const;
    const work = { half: 'encode', size: { rows: size.height, columns: size.width } } as const;
    const { summary, details } = vaeRunLines('encode', await runVae(vae, work, task, spread, context));
    await staging.commit();
    context.observer.result(output);
    context.observer.note(summary);
    context.observer.detail(details);
  } catch (error) {
    throw staging.withTargets(error);
  } finally {
    await staging.discard();
    await rm(folder, { recursive: true, force: true });
  }
}

/** For the pixels, which ranks read. */
async function temporaryFolder(): Promise<string> {
  try {
    return await mkdtemp(join(tmpdir(), 'distri-encode-'));
  } catch (error) {
    throw fileError(error, tmpdir(), 'output');
  }
}
