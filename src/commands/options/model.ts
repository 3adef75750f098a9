import type { Command } from 'commander';
import { value } from './build.js';
import { text } from './parsers.js';

/** Which checkpoint, as commander collects it. */
export interface ModelOptions {
  readonly pretrained_model_name_or_path?: string;
  readonly variant?: string;
  readonly revision?: string;
}

/** Which architecture instead of a checkpoint. */
export interface RandomWeightsOptions {
  readonly random_weights?: string;
}

/** `embedded`: a model comes with the package. */
export function addModelOptions(command: Command, embedded: boolean): Command {
  const fallback = embedded ? ' (default: the embedded tiny-shapes)' : '';
  return command
    .optionsGroup('Model:')
    .addOption(
      value(
        '--model, --pretrained_model_name_or_path <model>',
        `folder in diffusers' layout or hub id${fallback}`,
        text,
      ),
    )
    .addOption(
      value(
        '--variant <name>',
        'variant of the weight files, e.g. fp16 (default: the only one there is)',
        text,
      ),
    )
    .addOption(value('--revision <name>', 'branch, tag or commit of a hub id', text));
}
