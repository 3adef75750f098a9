import { Command, Option } from 'commander';
import { toError } from '../base/errors.js';
import { packageVersion } from '../base/package.js';
import { type AddonProbe, probeAddon } from '../engine/load.js';
import { describeMachine } from '../machine/machine.js';
import { describeTransports } from '../machine/transports.js';
import { describeVersions } from '../machine/versions.js';
import { type ExchangeFigures, inspectedBytes, measureExchange } from '../planning/exchange-figures.js';
import { integer } from './options/parsers.js';
import { type Inspection, inspectionLines } from './output/inspect.js';
import { Terminal } from './output/terminal.js';

const examples = `
Examples:
  distri inspect
  distri inspect -n 4
  distri inspect --json`;

interface InspectOptions {
  readonly nproc_per_node: number;
  readonly json?: true;
}

/** `distri inspect`. `interruption` is aborted when the user wants it to end. */
export function inspectCommand(interruption: AbortSignal): Command {
  return new Command('inspect')
    .description('Show what distri finds on this machine, and measure how fast ranks exchange data.')
    .addOption(
      new Option('-n, --nproc_per_node <n>', 'rank processes to measure between; 1 measures nothing')
        .argParser(integer('--nproc_per_node', 1))
        .default(2),
    )
    .addOption(new Option('--json', 'print JSON'))
    .addHelpText('after', examples)
    .action((options: InspectOptions) => inspect(options, interruption));
}

/** Whatever does not work is part of what is printed; it is thrown afterwards. */
async function inspect(options: InspectOptions, interruption: AbortSignal): Promise<void> {
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
      : await attempt(() => measureExchange(ranks, inspectedBytes, interruption));
  const inspection = await describe(addon, addonFailure, exchange);
  interruption.throwIfAborted();
  print(inspection, options);
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
    addon: { usable: addon !== undefined, path: addon?.addon, library: addon?.library, reason: addonFailure },
    transports: describeTransports(addonFailure),
    exchange,
  };
}

function print(inspection: Inspection, { json }: InspectOptions): void {
  const terminal = new Terminal('normal');
  if (json) terminal.result(JSON.stringify(inspection, undefined, 2));
  else for (const line of inspectionLines(inspection)) terminal.result(line);
}
