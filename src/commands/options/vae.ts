import type { Command, Option } from 'commander';
import type { VaeOptions as SpreadVae } from '../../app/vae.js';
import { embeddedModel } from '../../base/package.js';
import { type VaeMode, vaeModes } from '../../pipelines/vae/plan.js';
import { atLeast, value, withDefault } from './build.js';
import { addModelOptions, type ModelOptions } from './model.js';
import { oneOf, text } from './parsers.js';
import { addRankCount, addThreadsOption, commTimeoutOption } from './ranks.js';

/** What `decode` and `encode` have in common, as commander collects it. */
export interface VaeOptions extends ModelOptions {
  readonly nproc_per_node: number;
  readonly threads?: number;
  readonly comm_timeout: number;
  readonly vae: VaeMode;
  readonly tile_size?: number;
  readonly output_path?: string;
}

/** `--vae`, of all commands that use one. */
export function vaeOption(): Option {
  return withDefault(
    '--vae <mode>',
    'who does what the VAE does: every rank a band of rows (parallel), the first rank all (rank0), or tiles with blended seams (tiled); ' +
      'auto: parallel where there are several ranks, tiled only where memory would not do',
    'auto',
    (name) => oneOf(name, vaeModes),
  );
}

/** `output` says where the result goes. */
export function addVaeOptions(command: Command, output: string): Command {
  addModelOptions(command.addOption(value('--output, --output_path <file>', output, text)), true);
  return addThreadsOption(addRankCount(command))
    .addOption(commTimeoutOption())
    .addOption(vaeOption())
    .addOption(
      value(
        '--tile_size <pixels>',
        'side of a tile (default: the size of the pictures that the VAE was made for)',
        atLeast(1),
      ),
    );
}

/** As the program takes them. */
export function spreadVae(options: VaeOptions): SpreadVae {
  return {
    model: options.pretrained_model_name_or_path ?? embeddedModel,
    variant: options.variant,
    revision: options.revision,
    ranks: options.nproc_per_node,
    threads: options.threads,
    mode: options.vae,
    tileSize: options.tile_size,
    commTimeout: options.comm_timeout,
  };
}
