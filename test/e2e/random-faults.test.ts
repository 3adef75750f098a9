import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { childrenOf, isAlive, waitForEnd } from '../ranks/fixtures/processes.js';
import { type Below, pick, seededBelow } from '../support/mutate.js';
import { Cli, type Ended, inNewFolder } from './cli.js';

/** `npm run faults` sets it to 100. A failure is repeated with its seed, as far as timing allows. */
const RUNS = Number(process.env.DISTRI_FAULTS ?? 7);
const SEED = Number(process.env.DISTRI_FAULTS_SEED ?? Date.now() % 1e9);
const COMM_TIMEOUT_S = 3;
/** About as long as a run takes that nobody disturbs. */
const RUN_MS = 2500;
/** Well below the timeout, also on a busy machine. */
const LONGEST_PAUSE_MS = 1000;
const END_MS = 2000;
/** A rank that never said that it is alive gets this long. */
const STARTUP_MS = 10_000;

const faults = ['kill a rank', 'stop a rank', 'pause a rank', 'pause all', 'kill the parent'] as const;
type Fault = (typeof faults)[number];

const arguments_ = [
  'run-sdxl',
  '--image_size',
  '128',
  '--num_inference_steps',
  '40',
  '--output_path',
  'x.png',
];
const references = new Map<number, Buffer>();

function start(ranks: number, folder: string): Cli {
  return new Cli([...arguments_, '-n', String(ranks), '--comm_timeout', String(COMM_TIMEOUT_S)], folder);
}

/** The picture of a run that nobody disturbs. */
async function reference(ranks: number): Promise<Buffer> {
  const known = references.get(ranks);
  if (known !== undefined) return known;
  const drawn = await inNewFolder(async (folder) => {
    const { status, stderr } = await start(ranks, folder).ended;
    assert.equal(status, 0, stderr);
    return readFile(join(folder, 'x.png'));
  });
  references.set(ranks, drawn);
  return drawn;
}

/** Rank processes of a run; waits until there are `count`, or the run has ended. */
async function ranksOf(cli: Cli, count: number): Promise<number[]> {
  while (isAlive(cli.pid)) {
    const ranks = childrenOf(cli.pid).filter(isRank);
    if (ranks.length === count) return ranks;
    await delay(5);
  }
  return [];
}

/** Other children try whether the addon can be loaded. */
function isRank(pid: number): boolean {
  try {
    return /distri rank|rank\.js/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  } catch {
    return false;
  }
}

/** False when the process is gone already. */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

async function cause(fault: Fault, cli: Cli, ranks: readonly number[], below: Below): Promise<void> {
  const victim = pick(ranks, below);
  const pause = below(LONGEST_PAUSE_MS);
  switch (fault) {
    case 'kill a rank':
      signal(victim, 'SIGKILL');
      return;
    case 'kill the parent':
      signal(cli.pid, 'SIGKILL');
      return;
    case 'stop a rank':
      signal(victim, 'SIGSTOP');
      return;
    case 'pause a rank':
      signal(victim, 'SIGSTOP');
      await delay(pause);
      signal(victim, 'SIGCONT');
      return;
    case 'pause all':
      if (!signal(-cli.pid, 'SIGSTOP')) return;
      await delay(pause);
      signal(-cli.pid, 'SIGCONT');
  }
}

/** What a run may end with when it does not end with the right picture. */
const failures: Readonly<Partial<Record<Fault, { status: number | null; message: RegExp | undefined }>>> = {
  'kill a rank': { status: 6, message: /^distri: Rank \d \(process \d+\) was killed by SIGKILL/ },
  'stop a rank': { status: 7, message: /^distri: Rank \d \(process \d+\) gave no sign of life for/ },
  'kill the parent': { status: null, message: undefined },
};

async function check(fault: Fault, ended: Ended, folder: string, right: Buffer): Promise<string> {
  const messages = ended.stderr.split('\n').filter((line) => line.startsWith('distri: '));
  if (ended.status === 0) {
    assert.deepEqual(await readdir(folder), ['x.png']);
    assert.ok(right.equals(await readFile(join(folder, 'x.png'))), 'another picture');
    assert.deepEqual(messages, []);
    return 'right picture';
  }
  const failure = failures[fault];
  assert.ok(failure, `ended with status ${ended.status}: ${ended.stderr}`);
  assert.equal(ended.status, failure.status, ended.stderr);
  assert.equal(messages.length, failure.message === undefined ? 0 : 1, ended.stderr);
  if (failure.message !== undefined) assert.match(messages[0] as string, failure.message);
  assert.deepEqual((await readdir(folder)).filter(isLeft(fault)), []);
  return 'right error';
}

/** A killed parent can't remove the hidden folder, should the first rank be writing at that moment. */
function isLeft(fault: Fault): (name: string) => boolean {
  return (name) => fault !== 'kill the parent' || !name.startsWith('.distri-');
}

interface Disturbance {
  readonly fault: Fault;
  readonly ranks: number;
  /** Milliseconds after the ranks' start. */
  readonly moment: number;
}

/** Returns how the run ended, which is one of the right ways. */
async function disturb({ fault, ranks, moment }: Disturbance, below: Below): Promise<string> {
  const right = await reference(ranks);
  return inNewFolder(async (folder) => {
    const cli = start(ranks, folder);
    const pids = await ranksOf(cli, ranks);
    await Promise.race([delay(moment), cli.ended]);
    const causedAt = performance.now();
    if (pids.length > 0) await cause(fault, cli, pids, below);
    const ended = await cli.ended;
    const took = performance.now() - causedAt;
    const outcome = await check(fault, ended, folder, right);
    await waitForEnd(pids, END_MS);
    const patience = fault === 'stop a rank' ? Math.max(STARTUP_MS, COMM_TIMEOUT_S * 1000) : 0;
    assert.ok(ended.status === 0 || took < patience + END_MS, `took ${took.toFixed(0)} ms`);
    return outcome;
  });
}

test('faults at random moments end in the right picture or in the right error', async (context) => {
  context.diagnostic(`seed ${SEED}`);
  const below = seededBelow(SEED);
  const tally = new Map<string, number>();
  for (let run = 0; run < RUNS; run++) {
    // A short version has all kinds, too.
    const fault = faults[run] ?? pick(faults, below);
    const disturbance = { fault, ranks: 2 + below(3), moment: below(RUN_MS) };
    try {
      const outcome = `${fault}: ${await disturb(disturbance, below)}`;
      tally.set(outcome, 1 + (tally.get(outcome) ?? 0));
    } catch (cause) {
      throw new Error(`run ${run} of seed ${SEED}: ${JSON.stringify(disturbance)}`, { cause });
    }
  }
  for (const [outcome, count] of [...tally].sort()) context.diagnostic(`${outcome}: ${count}`);
});
