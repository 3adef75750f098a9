import { Command } from 'commander';
import { openModel } from '../app/model.js';
import { countMacs } from '../app/plan.js';
import type { Family } from '../families/family.js';
import { families } from '../families/registry.js';
import type { CommandContext } from './context.js';
import { flag } from './options/build.js';
import { addComparedOptions, type ComparedOptions, comparedModel, comparedOf } from './options/compared.js';
import { exampleLines } from './output/examples.js';
import { macsLines, macsReport, referenceLines } from './output/macs.js';
import { type Terminal, terminalOf } from './output/terminal.js';

const [{ synthetic }] = families as [Family];

const examples = [
  '-n 4',
  `-n 8 --random_weights ${synthetic.example}`,
  `-n 4 --random_weights ${synthetic.example} --image_size 1280 1920 --no_split_batch`,
  '-n 2 --model ./checkpoint --json',
];

/** Of distrifuser's measurements. */
const REFERENCE_RANKS = 8;

interface ProfileOptions extends ComparedOptions {
  readonly json?: true;
}

/** `distri profile-macs`: no weights are read, and nothing runs. */
export function profileMacsCommand({ signal }: CommandContext): Command {
  const command = new Command('profile-macs')
    .description(
      'Count the multiply-accumulates of each rank by kind of layer, for every way to share a picture.',
    )
    .addHelpText('after', exampleLines('profile-macs', examples));
  addComparedOptions(command, 'ranks: 1, 2, 4, … and this many are compared', REFERENCE_RANKS);
  return command
    .optionsGroup('Output:')
    .addOption(flag('--json', 'print JSON'))
    .action(() => profile(command.opts<ProfileOptions>(), terminalOf(command), signal));
}

async function profile(options: ProfileOptions, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const { model: given, ...open } = comparedModel(options);
  const model = await openModel(given, open, terminal);
  const { picture, counted } = await countMacs(model, comparedOf(options), signal);
  const report = macsReport({ model: model.name, ...picture }, counted);
  if (options.json) {
    terminal.result(JSON.stringify(report, undefined, 2));
    return;
  }
  for (const line of [...macsLines(report), '', ...referenceLines(report)]) terminal.result(line);
}
