import { Command } from 'commander';
import type { Family } from '../families/family.js';
import { families } from '../families/registry.js';
import type { CommandContext } from './context.js';
import { launchedRanks } from './options/launched-ranks.js';
import { addRunOptions, checkRunOptions, drawsPromptsSingly, type RunOptions } from './options/run.js';
import { exampleLines } from './output/examples.js';
import { terminalOf } from './output/terminal.js';
import { drawBatch } from './run/batch.js';
import { benchmark } from './run/benchmark.js';
import { drawPrompts } from './run/prompts.js';
import type { Run } from './run/run.js';

/** `distri run-<family>` for every family. */
export function runCommands(context: CommandContext): Command[] {
  return families.map((family) => runCommand(family, context));
}

function runCommand(family: Family, { signal, launched }: CommandContext): Command {
  const name = `run-${family.name}`;
  const command = new Command(name)
    .description(
      `Draw a picture with a checkpoint of ${family.title}, its denoising spread over several processes.`,
    )
    .addHelpText('after', exampleLines(name, family.examples));
  return addRunOptions(command, family).action(async () => {
    const options = { ...command.opts<RunOptions>(), ...launchedRanks(command, launched) };
    checkRunOptions(options);
    const context = { observer: terminalOf(command), signal, launched };
    await chooseRun(options)({ options, family, command, context });
  });
}

function chooseRun(options: RunOptions): (run: Run) => Promise<void> {
  if (options.mode === 'benchmark') return benchmark;
  return drawsPromptsSingly(options) ? drawPrompts : drawBatch;
}
