import type { Command } from 'commander';
import type { ModelOptions as OpenOptions } from '../../app/options.js';
import type { PlanOptions } from '../../app/plan.js';
import { embeddedModel } from '../../base/package.js';
import { families } from '../../families/registry.js';
import type { StrategyName } from '../../parallel/registry.js';
import { refuseCheckpoint } from './benchmark.js';
import { value } from './build.js';
import { addModelOptions, type ModelOptions, type RandomWeightsOptions } from './model.js';
import { addComparedParallelOptions, givenStrategyOptions } from './parallel.js';
import { text } from './parsers.js';
import { addGuidanceOption, addSizeOptions, addStepsOption, type SizeOptions, sizeOf } from './picture.js';
import { addRankCount } from './ranks.js';

/** What commands that compare ways to share a picture have in common, as commander collects it. */
export interface ComparedOptions extends ModelOptions, RandomWeightsOptions, SizeOptions {
  readonly num_inference_steps?: number;
  readonly guidance_scale?: number;
  readonly nproc_per_node: number;
  readonly parallelism?: StrategyName;
  readonly no_split_batch?: true;
}

/** `ranks` says what -n is, by default `initial`. */
export function addComparedOptions(command: Command, ranks: string, initial: number): Command {
  const architectures = families.map(({ synthetic }) => synthetic.example).join(', ');
  addModelOptions(command, true).addOption(
    value('--random_weights <name>', `an architecture without a checkpoint, e.g. ${architectures}`, text),
  );
  command.optionsGroup('Picture:');
  addGuidanceOption(addStepsOption(addSizeOptions(command)));
  return addComparedParallelOptions(addRankCount(command, ranks, initial));
}

/** The model that is looked at. */
export function comparedModel(options: ComparedOptions): { readonly model: string } & OpenOptions {
  const { random_weights, pretrained_model_name_or_path: model = embeddedModel, variant, revision } = options;
  if (random_weights === undefined) return { model, variant, revision };
  refuseCheckpoint(options);
  return { model: random_weights, randomWeights: true };
}

/** As the program takes them. */
export function comparedOf(options: ComparedOptions): PlanOptions {
  return {
    ...sizeOf(options),
    numInferenceSteps: options.num_inference_steps,
    guidanceScale: options.guidance_scale,
    ranks: options.nproc_per_node,
    parallelism: options.parallelism,
    splitBatch: !options.no_split_batch,
    strategyOptions: givenStrategyOptions(options),
  };
}
