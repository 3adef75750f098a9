import { type Command, Option } from 'commander';
import { DistriError } from '../../base/errors.js';
import type { StageOptions } from '../../pipelines/request.js';
import { integer } from './parsers.js';

/** The options of `--parallelism pipefusion`, undefined where they are not given. */
export interface PipeFusionOptions {
  readonly num_pipeline_patch?: number;
  readonly attn_layer_num_for_pp?: readonly number[];
  readonly sequence_degree?: number;
}

/** Synchronous steps where none are asked for: as in xDiT. */
export const PIPEFUSION_WARMUP_STEPS = 1;

/** The synchronous steps of pipefusion: those that are asked for, or its own default. */
export function pipeFusionWarmupSteps(
  command: Command,
  { warmup_steps }: { readonly warmup_steps: number },
): number {
  return command.getOptionValueSource('warmup_steps') === 'default' ? PIPEFUSION_WARMUP_STEPS : warmup_steps;
}

/** Names of xDiT's options, where it has them. */
export function addPipeFusionOptions(command: Command): Command {
  return command
    .optionsGroup('Parallelism:')
    .addOption(
      new Option(
        '--num_pipeline_patch <n>',
        'pipefusion: patches that follow each other through the stages (default: as many as stages)',
      ).argParser(integer('--num_pipeline_patch', 1)),
    )
    .addOption(
      new Option(
        '--attn_layer_num_for_pp <counts...>',
        'pipefusion: layers of each stage (default: as even as they go)',
      ).argParser((text: string, before: readonly number[] | undefined) => [
        ...(before ?? []),
        integer('--attn_layer_num_for_pp', 1)(text),
      ]),
    )
    .addOption(
      new Option(
        '--sequence_degree <n>',
        'pipefusion: ranks of each stage, which share every patch (default: 1)',
      ).argParser(integer('--sequence_degree', 1)),
    );
}

/** What a pipeline is asked to be; undefined for other ways to share a picture, which refuse these options. */
export function stageOptions(parallelism: string, options: PipeFusionOptions): StageOptions | undefined {
  const { num_pipeline_patch: patches, attn_layer_num_for_pp: layers, sequence_degree: sequence } = options;
  if (parallelism === 'pipefusion') return { patches, layers, sequence };
  for (const name of ['num_pipeline_patch', 'attn_layer_num_for_pp', 'sequence_degree'] as const) {
    if (options[name] !== undefined) {
      throw new DistriError('usage', `--${name} needs --parallelism pipefusion`);
    }
  }
  return undefined;
}
