import { setTimeout as delay } from 'node:timers/promises';
import { Command, CommanderError } from 'commander';
import type { DrawMeeting } from './app/prepare.js';
import { DistriError, exitStatus, toError } from './base/errors.js';
import { watchInterruption } from './base/interruption.js';
import { packageVersion } from './base/package.js';
import { computeMetricsCommand } from './commands/compute-metrics.js';
import { decodeCommand } from './commands/decode.js';
import { dumpCocoCommand } from './commands/dump-coco.js';
import { encodeCommand } from './commands/encode.js';
import { exportHtmlCommand } from './commands/export-html.js';
import { generateCocoCommand } from './commands/generate-coco.js';
import { inspectCommand } from './commands/inspect.js';
import { normalizeArguments } from './commands/options/arguments.js';
import { planCommand } from './commands/plan.js';
import { profileMacsCommand } from './commands/profile-macs.js';
import { runPixArtCommand } from './commands/run-pixart.js';
import { runSdCommand } from './commands/run-sd.js';
import { runSdxlCommand } from './commands/run-sdxl.js';
import type { GenerationJob, JobReport, JobRunner } from './jobs/draw.js';
import { joinJob } from './ranks/join/join.js';
import { LaunchError, type LaunchedRank, readLaunchedRank } from './ranks/join/launched-rank.js';
import { Meeting } from './ranks/join/meeting.js';
import type { JobFunction } from './ranks/serve.js';

/** How long a process that has nothing to say waits for the one that does. */
const OTHERS_SPEAK_MS = 1000;

const examples = `
Option names may be written with dashes or underscores. \`distri <command> --help\` lists a command's options.

Examples:
  distri run-sdxl
  distri run-sdxl -n 2 --prompt "a large blue ring above a small green box"
  distri plan -n 4
  distri inspect`;

let runner: JobRunner | undefined;

/** Loaded when there is a job, because most processes of the command line have none. */
const runJob: JobFunction<GenerationJob, JobReport> = async (...given) => {
  const program = await import('./jobs/draw.js');
  runner ??= new program.JobRunner();
  return runner.run(...given);
};

/** Runs the program with these arguments (without node and the script); returns its exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    const launched = readLaunchedRank();
    if (launched === undefined) return await runProgram(argv);
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

/** Only the first of the processes that a launcher started looks at the arguments; the others learn from it what to do. */
async function runFirstRank(launched: LaunchedRank, argv: readonly string[]): Promise<number> {
  const meeting = await Meeting.open(launched, runJob);
  let status: number = exitStatus.internal;
  try {
    status = await runProgram(argv, meeting);
    if (status === 0) await runner?.close();
    return status;
  } finally {
    await meeting.close(status);
  }
}

async function runProgram(argv: readonly string[], meeting?: DrawMeeting): Promise<number> {
  const interruption = watchInterruption();
  const program = createProgram(interruption.signal, meeting);
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

function createProgram(interruption: AbortSignal, meeting: DrawMeeting | undefined): Command {
  const program = new Command('distri')
    .description('Draws one picture faster by spreading its denoising over several processes.')
    .version(packageVersion())
    .option('--quiet', 'print nothing but the path of the result')
    .option('--verbose', 'print details, and stack traces of errors')
    .addHelpText('after', examples)
    .addCommand(runSdxlCommand(interruption, meeting))
    .addCommand(runSdCommand(interruption, meeting))
    .addCommand(runPixArtCommand(interruption, meeting))
    .addCommand(generateCocoCommand(interruption, meeting))
    .addCommand(dumpCocoCommand(interruption))
    .addCommand(decodeCommand(interruption))
    .addCommand(encodeCommand(interruption))
    .addCommand(planCommand(interruption))
    .addCommand(profileMacsCommand())
    .addCommand(exportHtmlCommand(interruption))
    .addCommand(computeMetricsCommand(interruption))
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
