import { Command } from 'commander';
import { toError } from '../base/errors.js';
import { packageVersion } from '../base/package.js';
import { type AddonProbe, probeAddon } from '../engine/load.js';
import { describeTransports } from '../engine/transports.js';
import { measureExchange } from '../jobs/measure.js';
import { type ExchangeFigures, inspectedBytes } from '../machine/exchange-figures.js';
import { describeMachine } from '../machine/machine.js';
import { describeVersions } from '../machine/versions.js';
import type { CommandContext } from './context.js';
import { flag } from './options/build.js';
import { addRankCount } from './options/ranks.js';
import { exampleLines } from './output/examples.js';
import { type Inspection, inspectionLines } from './output/inspect.js';
import { type Terminal, terminalOf } from './output/terminal.js';

const examples = ['', '-n 4', '--json'];

interface InspectOptions {
  readonly nproc_per_node: number;
  readonly json?: true;
}

/** `distri inspect`. */
export function inspectCommand({ signal }: CommandContext): Command {
  const command = new Command('inspect').description(
    'Show what distri finds on this machine, and measure how fast ranks exchange data.',
  );
  return addRankCount(command, 'rank processes to measure between; 1 measures nothing', 2)
    .optionsGroup('Output:')
    .addOption(flag('--json', 'print JSON'))
    .addHelpText('after', exampleLines('inspect', examples))
    .action(() => inspect(command.opts<InspectOptions>(), terminalOf(command), signal));
}

/** Whatever does not work is part of what is printed; it is thrown afterwards. */
async function inspect(options: InspectOptions, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const failures: unknown[] = [];
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      failures.push(error);
      return undefined;
    }
  };
  const addon = await attempt(probeAddon);
  const addonFailure = addon === undefined ? toError(failures[0]).message : undefined;
  const ranks = options.nproc_per_node;
  const exchange =
    addon === undefined || ranks < 2
      ? undefined
      : await attempt(() => measureExchange(ranks, inspectedBytes, signal));
  const inspection = await describe(addon, addonFailure, exchange);
  signal.throwIfAborted();
  print(inspection, options, terminal);
  if (failures.length > 0) throw failures[0];
}

async function describe(
  addon: AddonProbe | undefined,
  addonFailure: string | undefined,
  exchange: ExchangeFigures | undefined,
): Promise<Inspection> {
  return {
    machine: describeMachine(),
    versions: await describeVersions(packageVersion(), addon?.version),
    addon: {
      usable: addon !== undefined,
      path: addon?.addon,
      library: addon?.library,
      simdLevel: addon?.simdLevel,
      reason: addonFailure,
    },
    transports: describeTransports(addonFailure),
    exchange,
  };
}

function print(inspection: Inspection, { json }: InspectOptions, terminal: Terminal): void {
  if (json) terminal.result(JSON.stringify(inspection, undefined, 2));
  else for (const line of inspectionLines(inspection)) terminal.result(line);
}
