import { createInterface } from 'node:readline/promises';
import { Argument, Command } from 'commander';
import type { CacheEntry } from '../app/cache/entries.js';
import { defaultCacheDir } from '../base/cache-dir.js';
import { DistriError } from '../base/errors.js';
import { bytesText, sum } from '../base/numbers.js';
import { flag, value } from './options/build.js';
import { number } from './options/parsers.js';
import { cacheLines } from './output/cache.js';
import { exampleLines } from './output/examples.js';
import { counted } from './output/summary.js';
import { type Terminal, terminalOf } from './output/terminal.js';

const examples = [
  'list',
  'list --json',
  'remove packed',
  'remove --unused_for 30 --yes',
  'remove --all --dry_run',
];

interface SelectionOptions {
  readonly unused_for?: number;
  readonly orphaned?: true;
}

interface RemoveOptions extends SelectionOptions {
  readonly all?: true;
  readonly dry_run?: true;
  readonly yes?: true;
}

/** `distri cache`. */
export function cacheCommand(): Command {
  return new Command('cache')
    .usage('[options] <list | remove> ...')
    .description('List or remove what distri keeps on disk.')
    .addCommand(listCommand())
    .addCommand(removeCommand())
    .addHelpText('after', exampleLines('cache', examples));
}

function listCommand(): Command {
  const command = new Command('list').alias('ls').description('List what is kept, the largest first.');
  return addSelection(command)
    .addOption(flag('--json', 'print JSON'))
    .action(async (names: readonly string[]) => {
      const options = command.opts<SelectionOptions & { json?: true }>();
      const { entries, folder } = await select(names, options);
      const terminal = terminalOf(command);
      if (options.json) terminal.result(JSON.stringify({ folder, entries }, undefined, 2));
      else for (const line of cacheLines(folder, entries)) terminal.result(line);
    });
}

function removeCommand(): Command {
  const command = new Command('remove')
    .alias('rm')
    .description('Remove what is named, after a question. What is needed again is made again.');
  return addSelection(command)
    .addOption(flag('--all', 'remove everything'))
    .addOption(flag('--dry_run', 'only say what would be removed'))
    .addOption(flag('-y, --yes', 'ask nothing'))
    .action(async (names: readonly string[]) => {
      const options = command.opts<RemoveOptions>();
      requireChoice(names, options);
      await remove(names, options, terminalOf(command));
    });
}

function addSelection(command: Command): Command {
  return command
    .addArgument(new Argument('[names...]', 'names of `distri cache list`, kinds or models'))
    .addOption(value('--unused_for <days>', 'only what was not used for so long', (name) => number(name, 0)))
    .addOption(flag('--orphaned', 'only what was made of files that are gone'));
}

function requireChoice(names: readonly string[], { all, unused_for, orphaned }: RemoveOptions): void {
  if (all && names.length > 0) {
    throw new DistriError('usage', '--all and names exclude each other; use one of them');
  }
  if (!all && names.length === 0 && unused_for === undefined && !orphaned) {
    throw new DistriError(
      'usage',
      'nothing is named; give names of `distri cache list`, --all, --unused_for or --orphaned',
    );
  }
}

/** What is meant, of the cache in its folder. Loaded here, because no other command needs it. */
async function select(names: readonly string[], { unused_for, orphaned }: SelectionOptions) {
  const { listCache } = await import('../app/cache/entries.js');
  const { selectEntries } = await import('../app/cache/remove.js');
  const folder = defaultCacheDir();
  const entries = await listCache(folder);
  return { folder, entries: selectEntries(entries, { names, unusedFor: unused_for, orphaned }) };
}

async function remove(names: readonly string[], options: RemoveOptions, terminal: Terminal): Promise<void> {
  const { folder, entries } = await select(names, options);
  const bytes = sum(entries.map((entry) => entry.bytes));
  const what = `${counted(entries.length, 'entry', 'entries')} of ${bytesText(bytes)}`;
  if (options.dry_run || entries.length === 0) {
    for (const { name } of entries) terminal.result(name);
    terminal.note(entries.length === 0 ? 'nothing to remove' : `would remove ${what} in ${folder}`);
    return;
  }
  if (!options.yes) await confirm(entries, what, terminal);
  const { removeEntries } = await import('../app/cache/remove.js');
  await removeEntries(folder, entries);
  for (const { name } of entries) terminal.result(name);
  terminal.note(`removed ${what} in ${folder}`);
}

/** Asks on the terminal; where there is none, a script has to say that it means it. */
async function confirm(entries: readonly CacheEntry[], what: string, terminal: Terminal): Promise<void> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new DistriError('usage', `${what} would be removed and nobody can be asked; --yes removes them`);
  }
  for (const { name } of entries) terminal.note(name);
  const question = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await question.question(`Remove ${what}? [y/N] `);
  question.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new DistriError('usage', 'nothing was removed');
}
