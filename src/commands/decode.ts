import { extname, resolve } from 'node:path';
import { Command } from 'commander';
import { chooseOutputPath, numberedPaths } from '../app/output-paths.js';
import { openVae, runVae, type VaeRun } from '../app/vae.js';
import { DistriError, expected } from '../base/errors.js';
import { listNames, quote } from '../base/quote.js';
import { Staging } from '../base/staging.js';
import { SafetensorsFile, type TensorEntry } from '../checkpoint/formats/safetensors.js';
import { pictureSize } from '../images/picture.js';
import { type AutoencoderKLConfig, vaeScaleFactor } from '../models/autoencoder-kl.js';
import type { CommandContext, RunContext } from './context.js';
import { withDefault } from './options/build.js';
import { launchedRanks } from './options/launched-ranks.js';
import { text } from './options/parsers.js';
import { addVaeOptions, spreadVae, type VaeOptions } from './options/vae.js';
import { exampleLines } from './output/examples.js';
import { terminalOf } from './output/terminal.js';
import { vaeRunLines } from './output/vae.js';

const examples = [
  'latents.safetensors --output picture.png',
  'latents.safetensors -n 4 --vae parallel --output decoded.safetensors',
  'latents.safetensors --model stabilityai/stable-diffusion-xl-base-1.0 --vae tiled --tile_size 512',
];

interface DecodeOptions extends VaeOptions {
  readonly tensor: string;
}

/** `distri decode`. */
export function decodeCommand({ signal, launched }: CommandContext): Command {
  const command = new Command('decode')
    .description("Decode latents with a checkpoint's VAE, spread over several processes.")
    .argument('<latents>', '.safetensors file, as --output_type latent writes it')
    .addHelpText('after', exampleLines('decode', examples))
    .addOption(withDefault('--tensor <name>', 'name of the tensor in the file', 'latents', text));
  const output =
    'where the picture goes, or with .safetensors the decoded tensor (default: a new name in results/)';
  return addVaeOptions(command, output).action(async (latents: string) => {
    const options = { ...command.opts<DecodeOptions>(), ...launchedRanks(command, launched) };
    await decode(resolve(latents), options, { observer: terminalOf(command), signal, launched });
  });
}

async function decode(path: string, options: DecodeOptions, context: RunContext): Promise<void> {
  const { output_path: given } = options;
  const asTensor = given !== undefined && extname(given) === '.safetensors';
  const output = chooseOutputPath(given, 'decoded', asTensor ? '.safetensors' : '.png', '--output');
  const file = await openLatents(path);
  const spread = spreadVae(options);
  const vae = await openVae(spread, context);
  const { shape } = checkLatents(file, options.tensor, vae.config);
  const [images, , rows, columns] = shape as [number, number, number, number];
  const staging = new Staging();
  try {
    const paths = asTensor ? [output] : numberedPaths(output, images);
    const staged: string[] = [];
    for (const target of paths) staged.push(await staging.add(target));
    const factor = vaeScaleFactor(vae.config);
    const work = { half: 'decode', size: { rows: rows * factor, columns: columns * factor } } as const;
    const files = asTensor ? { images: [], decoded: staged[0] } : { images: staged, decoded: undefined };
    const task = { kind: 'decode', input: path, tensor: options.tensor, ...files } as const;
    const run = await runVae(vae, work, task, spread, context);
    await staging.commit();
    report(paths, run, context);
  } catch (error) {
    throw staging.withTargets(error);
  } finally {
    await staging.discard();
  }
}

function report(paths: readonly string[], run: VaeRun, { observer }: RunContext): void {
  for (const path of paths) observer.result(path);
  const { summary, details } = vaeRunLines('decode', run);
  observer.note(summary);
  observer.detail(details);
}

/** Who gives a picture wanted the other command. */
async function openLatents(path: string): Promise<SafetensorsFile> {
  try {
    return await SafetensorsFile.open(path);
  } catch (error) {
    const isPicture = await pictureSize(path).then(
      () => true,
      () => false,
    );
    if (!isPicture) throw error;
    throw new DistriError(
      'usage',
      `${path}: a picture, not latents; distri encode makes latents of pictures`,
    );
  }
}

/** The entry of latents that the VAE can decode. */
function checkLatents(file: SafetensorsFile, name: string, config: AutoencoderKLConfig): TensorEntry {
  const entry = file.tensors.get(name);
  if (entry === undefined) {
    const names = listNames([...file.tensors.keys()]);
    throw new DistriError('usage', `${file.path}: has no tensor ${quote(name)}; --tensor may be ${names}`);
  }
  const { shape, dtype } = entry;
  const floats = ['F16', 'BF16', 'F32', 'F64'].includes(dtype);
  if (!floats || shape.length !== 4 || shape[1] !== config.latentChannels || shape.includes(0)) {
    const wanted = `floats [images, ${config.latentChannels}, rows, columns]`;
    throw expected(wanted, `tensor ${quote(name)} of ${file.path}`, `${dtype} [${shape.join(', ')}]`);
  }
  return entry;
}
