import { extname, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { chooseOutputPath, numberedPaths } from '../app/output-paths.js';
import { openVae, runVae, type VaeContext } from '../app/vae.js';
import { DistriError, expected } from '../base/errors.js';
import { quote } from '../base/quote.js';
import { Staging } from '../base/staging.js';
import { SafetensorsFile, type TensorEntry } from '../checkpoint/formats/safetensors.js';
import { type AutoencoderKLConfig, vaeScaleFactor } from '../models/autoencoder-kl.js';
import { text } from './options/parsers.js';
import { addVaeOptions, type VaeOptions } from './options/vae.js';
import { Terminal } from './output/terminal.js';

const examples = `
Examples:
  distri run-sdxl --output_type latent --output_path latents.safetensors
  distri decode latents.safetensors --output picture.png
  distri decode latents.safetensors -n 4 --vae parallel --output decoded.safetensors
  distri decode latents.safetensors --model stabilityai/stable-diffusion-xl-base-1.0 --vae tiled --tile_size 512`;

interface DecodeOptions extends VaeOptions {
  readonly output?: string;
  readonly tensor: string;
}

/** `distri decode`. `interruption` is aborted when the user wants it to end. */
export function decodeCommand(interruption: AbortSignal): Command {
  const command = new Command('decode')
    .description("Decode latents with a checkpoint's VAE, spread over several processes.")
    .argument('<latents>', '.safetensors file, as run-sdxl --output_type latent writes it')
    .addHelpText('after', examples)
    .addOption(
      new Option(
        '--output <file>',
        'where the picture goes, or with .safetensors the decoded tensor (default: a new name in results/)',
      ).argParser(text('--output')),
    )
    .addOption(
      new Option('--tensor <name>', 'name of the tensor in the file')
        .argParser(text('--tensor'))
        .default('latents', 'latents'),
    );
  return addVaeOptions(command).action(async (latents: string, _options, { optsWithGlobals }: Command) => {
    const options = optsWithGlobals.call(command) as DecodeOptions;
    const verbosity = options.quiet ? 'quiet' : options.verbose ? 'verbose' : 'normal';
    await decode(resolve(latents), options, { terminal: new Terminal(verbosity), interruption });
  });
}

async function decode(path: string, options: DecodeOptions, context: VaeContext): Promise<void> {
  const asTensor = options.output !== undefined && extname(options.output) === '.safetensors';
  const output = chooseOutputPath(options.output, 'decoded', asTensor ? '.safetensors' : '.png', '--output');
  const file = await SafetensorsFile.open(path);
  const vae = await openVae(options, context);
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
    await runVae(vae, work, task, options, context);
    await staging.commit();
    for (const target of paths) context.terminal.result(target);
  } catch (error) {
    throw staging.withTargets(error);
  } finally {
    await staging.discard();
  }
}

/** The entry of latents that the VAE can decode. */
function checkLatents(file: SafetensorsFile, name: string, config: AutoencoderKLConfig): TensorEntry {
  const entry = file.tensors.get(name);
  if (entry === undefined) {
    const names = [...file.tensors.keys()].slice(0, 8).map(quote).join(', ');
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
