import { type Command, Option } from 'commander';
import { availableCpus } from '../../machine/cpus.js';
import { type VaeMode, vaeModes } from '../../pipelines/vae/plan.js';
import { integer, number, oneOf, text } from './parsers.js';

/** What `decode` and `encode` have in common, as commander collects it. */
export interface VaeOptions {
  readonly pretrained_model_name_or_path?: string;
  readonly variant?: string;
  readonly revision?: string;
  readonly nproc_per_node: number;
  readonly threads?: number;
  readonly comm_timeout: number;
  readonly vae: VaeMode;
  readonly tile_size?: number;
  readonly quiet?: true;
  readonly verbose?: true;
}

/** `--vae`, of all commands that use one. */
export function vaeOption(): Option {
  return new Option(
    '--vae <mode>',
    'who does what the VAE does: every rank a band of rows (parallel), the first rank all (rank0), or tiles with blended seams (tiled); ' +
      'auto: parallel where there are several ranks, tiled only where memory would not do',
  )
    .argParser(oneOf('--vae', vaeModes))
    .default('auto', 'auto');
}

export function addVaeOptions(command: Command): Command {
  return command
    .optionsGroup('Model:')
    .addOption(
      new Option(
        '--model, --pretrained_model_name_or_path <model>',
        "folder in diffusers' layout or hub id (default: the embedded tiny-shapes)",
      ).argParser(text('--model')),
    )
    .addOption(
      new Option('--variant <name>', 'variant of the weight files, e.g. fp16').argParser(text('--variant')),
    )
    .addOption(
      new Option('--revision <name>', 'branch, tag or commit of a hub id').argParser(text('--revision')),
    )
    .optionsGroup('Ranks:')
    .addOption(
      new Option('-n, --nproc_per_node <n>', 'rank processes')
        .argParser(integer('--nproc_per_node', 1))
        .default(Math.min(2, availableCpus().count)),
    )
    .addOption(
      new Option(
        '--threads <n>',
        'threads of each rank (default: the CPUs divided among the ranks)',
      ).argParser(integer('--threads', 1)),
    )
    .addOption(
      new Option('--comm_timeout <seconds>', 'give up a rank that does not answer for so long')
        .argParser(number('--comm_timeout', 1, 1e6))
        .default(60),
    )
    .addOption(vaeOption())
    .addOption(
      new Option(
        '--tile_size <pixels>',
        'side of a tile (default: the size of the pictures that the VAE was made for)',
      ).argParser(integer('--tile_size', 1)),
    );
}
