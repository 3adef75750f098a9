import { setTimeout as delay } from 'node:timers/promises';
import { Command, CommanderError } from 'commander';
import type { LaunchedRanks } from './app/rank-groups.js';
import { DistriError, exitStatus, toError } from './base/errors.js';
import { watchInterruption } from './base/interruption.js';
import { optimizeLate } from './base/optimize-late.js';
import { packageVersion } from './base/package.js';
import { cacheCommand } from './commands/cache.js';
import { computeMetricsCommand } from './commands/compute-metrics.js';
import type { CommandContext } from './commands/context.js';
import { decodeCommand } from './commands/decode.js';
import { dumpCocoCommand } from './commands/dump-coco.js';
import { encodeCommand } from './commands/encode.js';
import { exportHtmlCommand } from './commands/export-html.js';
import { generateCocoCommand } from './commands/generate-coco.js';
import { inspectCommand } from './commands/inspect.js';
import { normalizeArguments, type Spelling } from './commands/options/arguments.js';
import { explainUsage } from './commands/options/hints.js';
import { exampleLines } from './commands/output/examples.js';
import { Streams } from './commands/output/streams.js';
import { planCommand } from './commands/plan.js';
import { profileMacsCommand } from './commands/profile-macs.js';
import { runCommands } from './commands/run.js';
import { families } from './families/registry.js';
import type { JobRunner, NamedJob } from './jobs/jobs.js';
import { joinJob } from './ranks/join/join.js';
import { LaunchError, type LaunchedRank, readLaunchedRank } from './ranks/join/launched-rank.js';
import { Meeting } from './ranks/join/meeting.js';
import type { JobFunction } from './ranks/serve.js';

/** How long a process that has nothing to say waits for the one that does. */
const OTHERS_SPEAK_MS = 1000;

const draw = `run-${families.find(({ embedded }) => embedded)?.name}`;

const explanation = `
Option names may be written with dashes or underscores, and shortened. \`distri <command> --help\` lists a
command's options.`;

const examples = [
  draw,
  `${draw} -n 2 --prompt "a large blue ring above a small green box"`,
  'plan -n 4',
  'inspect',
];

let runner: JobRunner | undefined;

/** Loaded when there is a job, because most processes of the command line have none. */
const runJob: JobFunction<NamedJob, unknown> = async (...given) => {
  if (runner === undefined) {
    const { JobRunner } = await import('./jobs/jobs.js');
    runner = new JobRunner();
  }
  return runner.run(...given);
};

/** Runs the program with these arguments (without node and the script); returns its exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  optimizeLate();
  const streams = new Streams();
  const status = await runProcess(argv);
  if (status !== 0) return status;
  await streams.flushed();
  if (streams.failure === undefined) return status;
  return report(streams.failure, false);
}

async function runProcess(argv: readonly string[]): Promise<number> {
  try {
    requireFolder();
    const launched = readLaunchedRank();
    if (launched === undefined) return await runProgram(argv, undefined);
    if (launched.rank > 0) return await joinJob(launched, runJob);
    return await runFirstRank(launched, argv);
  } catch (thrown) {
    const error = toError(thrown);
    if (!(error instanceof LaunchError) || error.speaks) return report(error, false);
    // A launcher ends all processes when one fails: the one that says why comes first.
    await delay(OTHERS_SPEAK_MS);
    return error.exitStatus;
  }
}

/** Whatever has a relative path needs a folder to be in. */
function requireFolder(): void {
  try {
    process.cwd();
  } catch (error) {
    const message = 'the working directory is gone; change to one that exists';
    throw new DistriError('usage', message, { cause: error });
  }
}

/**
 * Only the first of the processes that a launcher started looks at the arguments; the others learn from it
 * what to do.
 */
async function runFirstRank(launched: LaunchedRank, argv: readonly string[]): Promise<number> {
  const meeting = await Meeting.open(launched, runJob);
  let status: number = exitStatus.internal;
  try {
    status = await runProgram(argv, meeting);
    if (status === 0) runner?.close();
    return status;
  } finally {
    await meeting.close(status);
  }
}

async function runProgram(argv: readonly string[], launched: LaunchedRanks | undefined): Promise<number> {
  const interruption = watchInterruption();
  const program = createProgram({ signal: interruption.signal, launched });
  try {
    const spelled = normalizeArguments(argv, spelling(program), program.commands.map(spelling));
    await program.parseAsync(spelled, { from: 'user' });
    return 0;
  } catch (thrown) {
    return report(toError(thrown), program.opts().verbose === true);
  } finally {
    interruption.dispose();
  }
}

function createProgram(context: CommandContext): Command {
  const program = new Command('distri')
    .description('Draws one picture faster by spreading its denoising over several processes.')
    .version(packageVersion())
    .option('--quiet', 'print nothing but the path of the result')
    .option('--verbose', 'print details, and stack traces of errors')
    .addHelpText('after', explanation)
    .addHelpText('after', exampleLines('', examples));
  const commands = [
    ...runCommands(context),
    generateCocoCommand(context),
    dumpCocoCommand(context),
    decodeCommand(context),
    encodeCommand(context),
    planCommand(context),
    profileMacsCommand(context),
    exportHtmlCommand(context),
    computeMetricsCommand(context),
    inspectCommand(context),
    cacheCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  for (const command of [program, ...commands.flatMap(withSubcommands)]) {
    // Errors come back to `main`, which prints them in one line.
    command
      .exitOverride((error) => {
        throw explainUsage(error, command);
      })
      .configureOutput({ outputError: () => {} });
  }
  return program;
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands];
}

/** A command's options are spelt like those of its subcommands. */
function spelling(command: Command): Spelling {
  const spelt = command.parent === null ? [command] : withSubcommands(command);
  const names = spelt.flatMap(({ options }) => options).flatMap(({ short, long }) => [short, long]);
  const options = names.filter((name) => name?.startsWith('--')) as string[];
  return { name: command.name(), options: [...options, '--help'] };
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
  const { stderr } = process;
  const colours = stderr.isTTY && !process.env.NO_COLOR;
  stderr.write(`${colours ? '\u001b[31mdistri:\u001b[39m' : 'distri:'} ${message}\n`);
}
