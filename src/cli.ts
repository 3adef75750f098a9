import { Command, CommanderError } from 'commander';
import { normalizeArguments } from './commands/arguments.js';
import { inspectCommand } from './commands/inspect.js';
import { packageVersion } from './commands/package.js';
import { runSdxlCommand } from './commands/run-sdxl.js';
import { DistriError, exitStatus, toError } from './runtime/errors.js';
import { watchInterruption } from './runtime/interruption.js';

const examples = `
Option names may be written with dashes or underscores. \`distri <command> --help\` lists a command's options.

Examples:
  distri run-sdxl
  distri run-sdxl -n 2 --prompt "a large blue ring above a small green box"
  distri inspect`;

/** Runs the program with these arguments (without node and the script); returns its exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  const interruption = watchInterruption();
  const program = createProgram(interruption.signal);
  try {
    const commands = program.commands.map((command) => command.name());
    await program.parseAsync(normalizeArguments(argv, commands), { from: 'user' });
    return 0;
  } catch (thrown) {
    return report(toError(thrown), program.opts().verbose === true);
  } finally {
    interruption.dispose();
  }
}

function createProgram(interruption: AbortSignal): Command {
  const program = new Command('distri')
    .description('Draws one picture faster by spreading its denoising over several processes.')
    .version(packageVersion())
    .option('--quiet', 'print nothing but the path of the result')
    .option('--verbose', 'print details, and stack traces of errors')
    .addHelpText('after', examples)
    .addCommand(runSdxlCommand(interruption))
    .addCommand(inspectCommand(interruption));
  for (const command of [program, ...program.commands]) {
    // Errors come back to `main`, which prints them in one line.
    command.exitOverride().configureOutput({ outputError: () => {} });
  }
  return program;
}

/** Prints an error and returns its exit status. */
function report(error: Error, verbose: boolean): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    if (error.code !== 'commander.help') print(error.message.replace(/^error: /, '').replaceAll('\n', ' '));
    return exitStatus.usage;
  }
  print(verbose && error.stack !== undefined ? error.stack : error.message);
  if (error instanceof DistriError) return error.exitStatus;
  return exitStatus.internal;
}

function print(message: string): void {
  process.stderr.write(`distri: ${message}\n`);
}
