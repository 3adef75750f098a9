import { Command } from 'commander';
import { planRun } from '../app/plan-run.js';
import { defaultRanks } from '../app/setup.js';
import type { Family } from '../families/family.js';
import { families } from '../families/registry.js';
import type { WeightsMode } from '../machine/memory.js';
import type { VaeMode } from '../pipelines/vae/plan.js';
import type { CommandContext } from './context.js';
import { atLeast, flag, value } from './options/build.js';
import { addComparedOptions, type ComparedOptions, comparedModel, comparedOf } from './options/compared.js';
import {
  addDeviceOptions,
  addThreadsOption,
  type DeviceOptions,
  MAX_RANKS,
  weightsOption,
} from './options/ranks.js';
import { vaeOption } from './options/vae.js';
import { commandLines } from './output/commands.js';
import { exampleLines } from './output/examples.js';
import { planLines } from './output/plan.js';
import { type Terminal, terminalOf } from './output/terminal.js';

const [{ synthetic }] = families as [Family];

const examples = [
  '',
  '-n 4 --no_split_batch --sync_mode full_sync',
  `-n 2 --random_weights ${synthetic.example} --image_size 512`,
  '-n 8 --model ./checkpoint --no_measure --json',
  '-n 4 --model ./stable-diffusion-v1-5 --vae tiled',
  '-n 4 --random_weights pixart-xl-2 --num_inference_steps 20 --no_measure',
  '-n 1 --dtype bf16 --no_measure --commands',
];

interface PlanCommandOptions extends ComparedOptions, DeviceOptions {
  readonly threads?: number;
  readonly weights: WeightsMode | 'auto';
  readonly vae: VaeMode;
  readonly no_measure?: true;
  readonly remeasure?: true;
  readonly commands?: number;
  readonly json?: true;
}

/** `distri plan`. */
export function planCommand({ signal }: CommandContext): Command {
  const command = new Command('plan')
    .description(
      'Show how ranks could share a picture: who does what, what is exchanged and held, what is not possible and why, and how long a step would take.',
    )
    .addHelpText('after', exampleLines('plan', examples));
  return addPlanOptions(command).action(() =>
    plan(command.opts<PlanCommandOptions>(), terminalOf(command), signal),
  );
}

function addPlanOptions(command: Command): Command {
  addComparedOptions(command, 'rank processes, at most', defaultRanks());
  addThreadsOption(command.optionsGroup('Ranks:')).addOption(weightsOption());
  return addDeviceOptions(command)
    .optionsGroup('Parallelism:')
    .addOption(vaeOption())
    .optionsGroup('Prediction:')
    .addOption(flag('--no_measure', 'no predictions: measure nothing'))
    .addOption(flag('--remeasure', 'measure the machine again instead of using what was measured before'))
    .optionsGroup('Output:')
    .addOption(
      value(
        '--commands [rank]',
        'list the commands of a rank, of the first one by default',
        atLeast(0, MAX_RANKS - 1),
      ).preset('0'),
    )
    .addOption(flag('--json', 'print JSON'));
}

async function plan(options: PlanCommandOptions, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const { model, ...open } = comparedModel(options);
  const { threads, weights, dtype, engine, vae, no_measure, remeasure, commands, json } = options;
  const report = await planRun(model, {
    ...open,
    ...comparedOf(options),
    threads,
    weights,
    dtype,
    engine,
    vae,
    commandsOf: commands,
    measure: !no_measure,
    remeasure,
    observer: terminal,
    signal,
  });
  if (json) terminal.result(JSON.stringify(report, undefined, 2));
  else for (const line of [...planLines(report), ...commandLines(report)]) terminal.result(line);
}
