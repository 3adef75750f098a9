import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Staging } from '../../src/base/staging.js';
import { readLaunchedRank } from '../../src/ranks/join/launched-rank.js';
import { MeetingPlace } from '../../src/ranks/join/meeting-place.js';
import { isAlive } from '../ranks/fixtures/processes.js';
import { Cli, type Ended, executable, inFloat32, inNewFolder } from './cli.js';

const shortRun = ['run-sdxl', '--num_inference_steps', '7', '--output_type', 'latent'];
const STEPS = 900;
const longRun = ['run-sdxl', '--num_inference_steps', String(STEPS), '--output_path', 'out/x.png'];

/** The variables of one process. */
type Environment = (rank: number, size: number) => Readonly<Record<string, string | number>>;

let port = 20_000 + (process.pid % 10_000);

function asTorchrun(): Environment {
  const MASTER_PORT = port++;
  return (rank, size) => ({
    RANK: rank,
    WORLD_SIZE: size,
    LOCAL_RANK: rank,
    LOCAL_WORLD_SIZE: size,
    MASTER_ADDR: '127.0.0.1',
    MASTER_PORT,
  });
}

function asSrun(): Environment {
  const job = port++;
  return (rank, size) => ({
    SLURM_PROCID: rank,
    SLURM_NTASKS: size,
    SLURM_LOCALID: rank,
    SLURM_JOB_ID: job,
    SLURM_STEP_ID: 0,
  });
}

function launch(environment: Environment, size: number, args: readonly string[], folder: string): Cli[] {
  return Array.from({ length: size }, (_, rank) => {
    const variables = Object.entries(environment(rank, size)).map(([name, value]) => `${name}=${value}`);
    return new Cli(args, folder, `export ${variables.join(' ')}`);
  });
}

function ends(processes: readonly Cli[]): Promise<Ended[]> {
  return Promise.all(processes.map((one) => one.ended));
}

/** Where the processes of this job meet. */
function meetingFolder(environment: Environment, size: number): string {
  const variables = Object.entries(environment(0, size)).map(([name, value]) => [name, String(value)]);
  const launched = readLaunchedRank(Object.fromEntries(variables));
  assert.ok(launched);
  return new MeetingPlace(launched).folder;
}

async function spawned(size: number, folder: string): Promise<Buffer> {
  const path = join(folder, 'spawned.safetensors');
  const { status, stderr } = await new Cli([...shortRun, '-n', String(size), '--output_path', path], folder)
    .ended;
  assert.equal(status, 0, stderr);
  return readFile(path);
}

for (const [name, environment, size] of [
  ['torchrun', asTorchrun(), 3],
  ['srun', asSrun(), 2],
] as const) {
  test(`processes started as ${name} does draw what ranks draw that distri starts`, () =>
    inNewFolder(async (folder) => {
      const processes = launch(environment, size, [...shortRun, '--output_path', 'x.safetensors'], folder);
      const [first, ...others] = await ends(processes);
      assert.equal(first?.status, 0, first?.stderr);
      assert.equal(first?.stdout.split('\n')[0], join(folder, 'x.safetensors'));
      for (const { status, stdout, stderr } of others) {
        assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
      }
      assert.deepEqual(await readdir(folder), ['x.safetensors']);
      assert.deepEqual(await readFile(join(folder, 'x.safetensors')), await spawned(size, folder));
    }));
}

test('processes that a launcher started decode together, each its band', () =>
  inNewFolder(async (folder) => {
    const latents = ['run-sdxl', '-n', '1', '--num_inference_steps', '2', '--output_type', 'latent'];
    assert.equal((await new Cli([...latents, '--output_path', 'x.safetensors'], folder).ended).status, 0);
    const decode = ['decode', 'x.safetensors', '--verbose', '--output'];
    const [first] = await ends(launch(asTorchrun(), 3, [...decode, 'launched.png'], folder));
    assert.equal(first?.status, 0, first?.stderr);
    assert.equal(first?.stdout, `${join(folder, 'launched.png')}\n`);
    assert.match(first?.stderr ?? '', /^tiny-shapes, 256 x 256 px: a band of rows on each of 3 ranks/m);
    const spawnedRanks = await new Cli([...decode, 'spawned.png', '-n', '3'], folder).ended;
    assert.equal(spawnedRanks.status, 0, spawnedRanks.stderr);
    const [launched, own] = await Promise.all(
      ['launched.png', 'spawned.png'].map((name) => readFile(join(folder, name))),
    );
    assert.deepEqual(launched, own);
  }));

const mpirun = ['--allow-run-as-root', '--oversubscribe'];
const noMpirun = spawnSync('mpirun', ['--version']).status !== 0 && 'mpirun (Open MPI) is not installed';

test('mpirun -n 4 draws what four ranks draw that distri starts', { skip: noMpirun }, () =>
  inNewFolder(async (folder) => {
    const command = [
      process.execPath,
      executable,
      '--quiet',
      ...inFloat32(shortRun),
      '--output_path',
      'x.safetensors',
    ];
    const stdout = execFileSync('mpirun', [...mpirun, '-n', '4', ...command], {
      cwd: folder,
      encoding: 'utf8',
    });
    assert.equal(stdout.trim(), join(folder, 'x.safetensors'));
    assert.deepEqual(await readFile(join(folder, 'x.safetensors')), await spawned(4, folder));
  }),
);

test('mpirun ends with the status of what went wrong, said once', { skip: noMpirun }, () =>
  inNewFolder(async (folder) => {
    const command = [process.execPath, executable, 'run-sdxl', '-n', '3'];
    const { status, stderr } = spawnSync('mpirun', [...mpirun, '-n', '2', ...command], {
      cwd: folder,
      encoding: 'utf8',
    });
    assert.equal(status, 2);
    assert.equal(stderr.match(/distri: /g)?.length, 1, stderr);
    assert.match(
      stderr,
      /distri: Expected 2 for --nproc_per_node, or nothing, because mpirun started 2 ranks/,
    );
  }),
);

/**
 * Disturbs a launched run of three; all must end `within` milliseconds with one message in all, and leave
 * nothing that the next run would not remove.
 */
async function disturbed(
  disturb: (processes: readonly Cli[]) => void,
  args: readonly string[],
  within: number,
): Promise<{ statuses: (number | null)[]; message: string }> {
  return inNewFolder(async (folder) => {
    const environment = asTorchrun();
    const processes = launch(environment, 3, [...longRun, ...args], folder);
    await processes[0]?.said(/denoising 90\//);
    assert.ok(!existsSync(meetingFolder(environment, 3)), 'the place where they met is left');
    const disturbedAt = performance.now();
    disturb(processes);
    const ended = await ends(processes);
    const took = performance.now() - disturbedAt;
    assert.ok(took < within, `took ${took.toFixed(0)} ms`);
    assert.deepEqual(processes.map(({ pid }) => pid).filter(isAlive), []);
    // As the next run does: a first rank that is killed leaves its hidden folder.
    await new Staging().reserve(join(folder, 'out'));
    assert.deepEqual(
      (await readdir(folder, { recursive: true })).filter((path) => path !== 'out'),
      [],
    );
    const messages = ended.flatMap(({ stderr }) =>
      stderr.split('\n').filter((line) => /^distri: /.test(line)),
    );
    assert.equal(messages.length, 1, messages.join('\n'));
    return { statuses: ended.map(({ status }) => status), message: messages[0] as string };
  });
}

test('when a launched rank is killed, all end and the first says so', async () => {
  const kill = (processes: readonly Cli[]) => process.kill(processes[2]?.pid as number, 'SIGKILL');
  const { statuses, message } = await disturbed(kill, [], 2000);
  assert.match(message, /^distri: Rank 2 \(process \d+\) was killed or ended in step \d+ of 900$/);
  assert.deepEqual(statuses, [6, 6, null]);
});

test('when the first rank is killed, the others end and one says so', async () => {
  const kill = (processes: readonly Cli[]) => process.kill(processes[0]?.pid as number, 'SIGKILL');
  const { statuses, message } = await disturbed(kill, [], 2000);
  assert.match(message, /^distri: Rank 0 \(process \d+\) was killed or ended$/);
  assert.deepEqual(statuses, [null, 6, 6]);
});

for (const rank of [0, 1]) {
  test(`when launched rank ${rank} is stopped, all end after --comm_timeout`, async () => {
    const stop = (processes: readonly Cli[]) => process.kill(processes[rank]?.pid as number, 'SIGSTOP');
    const { statuses, message } = await disturbed(stop, ['--comm_timeout', '2'], 2000 + 2000);
    assert.match(
      message,
      new RegExp(`^distri: Rank ${rank} \\(process \\d+\\) gave no sign of life for [\\d.]+ s`),
    );
    assert.deepEqual(
      statuses,
      [0, 1, 2].map((other) => (other === rank ? null : 7)),
    );
  });
}

test('when a launcher asks all to end, they do, and the first says so', async () => {
  const end = (processes: readonly Cli[]) => {
    for (const { pid } of processes) process.kill(pid, 'SIGTERM');
  };
  const { statuses, message } = await disturbed(end, [], 2000);
  assert.equal(message, 'distri: Interrupted by SIGTERM');
  assert.deepEqual(statuses, [143, 143, 143]);
});

test('when a launcher ends all because one was killed, that is the message', async () => {
  const end = (processes: readonly Cli[]) => {
    process.kill(processes[1]?.pid as number, 'SIGKILL');
    for (const rank of [2, 0]) process.kill(processes[rank]?.pid as number, 'SIGTERM');
  };
  const { statuses, message } = await disturbed(end, [], 2000);
  assert.match(message, /^distri: Rank 1 \(process \d+\) was killed or ended/);
  assert.deepEqual(statuses, [6, null, 6]);
});

test('what the command line lacks only the first process says', () =>
  inNewFolder(async (folder) => {
    const ended = await ends(launch(asSrun(), 3, ['run-sdxl', '--promt', 'x'], folder));
    assert.deepEqual(
      ended.map(({ status }) => status),
      [2, 2, 2],
    );
    assert.match(ended[0]?.stderr ?? '', /^distri: unknown option '--promt'/);
    assert.equal(
      ended
        .map(({ stderr }) => stderr)
        .join('')
        .split('\n').length,
      2,
    );
  }));

test('several hosts are refused by the first process', () =>
  inNewFolder(async (folder) => {
    const twoHosts: Environment = (rank, size) => ({ ...asTorchrun()(rank, size), LOCAL_WORLD_SIZE: 1 });
    const ended = await ends(launch(twoHosts, 2, shortRun, folder));
    assert.deepEqual(
      ended.map(({ status }) => status),
      [4, 4],
    );
    assert.match(ended[0]?.stderr ?? '', /^distri: torchrun started 2 ranks, 1 of them on this host/);
    assert.equal(ended[1]?.stderr, '');
  }));

test('DISTRI_LAUNCHER=none starts ranks as if there were no launcher', () =>
  inNewFolder(async (folder) => {
    const args = [...shortRun, '-n', '2', '--output_path', 'x.safetensors'];
    const variables = 'export SLURM_PROCID=0 SLURM_NTASKS=4 SLURM_JOB_ID=1 DISTRI_LAUNCHER=none';
    const { status, stderr } = await new Cli(args, folder, variables).ended;
    assert.equal(status, 0, stderr);
    assert.deepEqual(await readdir(folder), ['x.safetensors']);
  }));
