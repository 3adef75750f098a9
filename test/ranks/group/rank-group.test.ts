import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { DistriError, type ErrorCode } from '../../../src/base/errors.js';
import { availableCpus, shareCpus } from '../../../src/machine/cpus.js';
import { type LaunchOptions, RankGroup } from '../../../src/ranks/group/rank-group.js';
import type { FixtureJob, FixtureResult } from '../fixtures/job.js';
import { childrenOf, isAlive, waitForEnd } from '../fixtures/processes.js';

type Group = RankGroup<FixtureJob, FixtureResult>;

/**
 * What is noticed by itself ends a group within milliseconds, what is not after a timeout of 20 s: this tells
 * one from the other, also on a machine that is busy.
 */
const SOON_MS = 10_000;

/** A job that goes on for longer than any test. */
const endless: FixtureJob = { stepTime: 20, steps: 10_000, meet: true };

function launch(worldSize: number, options: Partial<LaunchOptions> = {}): Promise<Group> {
  return RankGroup.launch<FixtureJob, FixtureResult>({
    worldSize,
    entry: new URL('../fixtures/rank.js', import.meta.url),
    cpus: undefined,
    timeout: 20_000,
    interruption: new AbortController().signal,
    log: () => {},
    ...options,
  });
}

/** Runs `job`, calls `harm` as soon as rank 0 is in step 3, and checks how and how fast the group ends. */
async function harmed(
  group: Group,
  job: FixtureJob,
  harm: (pids: readonly number[]) => void,
  expected: { code: ErrorCode; message: RegExp; within: number },
): Promise<void> {
  const pids = group.pids as readonly number[];
  let harmedAt = performance.now();
  let harmless = true;
  const running = group.run(job, (rank, progress) => {
    if (harmless && rank === 0 && progress.type === 'step' && progress.step === 2) {
      harmless = false;
      harmedAt = performance.now();
      harm(pids);
    }
  });
  const error = await running.then(
    () => assert.fail('the job succeeded'),
    (thrown: unknown) => thrown,
  );
  const took = performance.now() - harmedAt;
  assert.ok(error instanceof DistriError, String(error));
  assert.match(error.message, expected.message);
  assert.equal(error.code, expected.code);
  assert.ok(took < expected.within, `took ${took.toFixed(0)} ms`);
  assert.deepEqual(pids.filter(isAlive), [], 'processes are left');
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

test('ranks started once serve several jobs, meet each other and leave nothing behind', async () => {
  await (await launch(1)).close();
  const before = openDescriptors();
  const group = await launch(3);
  for (let i = 0; i < 3; i++) {
    const seen = new Set<number>();
    const results = await group.run({ stepTime: 1, steps: 2, meet: true }, (rank) => seen.add(rank));
    assert.deepEqual(
      results.map(({ rank, sum }) => [rank, sum]),
      [0, 1, 2].map((rank) => [rank, 6]),
    );
    assert.deepEqual(
      results.map(({ pid }) => pid),
      group.pids,
    );
    assert.deepEqual([...seen].sort(), [0, 1, 2]);
  }
  const pids = group.pids as readonly number[];
  await group.close();
  assert.deepEqual(pids.filter(isAlive), []);
  await delay(50);
  assert.equal(openDescriptors(), before);
});

test('one channel is connected again and again while another stays', async () => {
  const group = await launch(3);
  for (let job = 0; job < 2; job++) {
    const results = await group.run({ stepTime: 1, steps: 3, meet: true, reconnect: 2 }, () => {});
    assert.deepEqual(
      results.map(({ sum, reconnected }) => [sum, reconnected]),
      [0, 1, 2].map(() => [6, 3 * 2 * 6]),
    );
  }
  await group.close();
});

test('ranks wait in several channels at once, whatever the size of the thread pool', async () => {
  const before = process.env.UV_THREADPOOL_SIZE;
  process.env.UV_THREADPOOL_SIZE = '1';
  const group = await launch(2);
  if (before === undefined) delete process.env.UV_THREADPOOL_SIZE;
  else process.env.UV_THREADPOOL_SIZE = before;
  const running = group.run({ stepTime: 1, steps: 1, cross: true }, () => {});
  const results = await Promise.race([running, delay(SOON_MS, 'they wait for each other')]);
  await group.close();
  assert.equal(results.length, 2, String(results));
});

test('each rank may use its share of the CPUs only, the parent keeps all', async () => {
  const cpus = availableCpus();
  const shares = shareCpus({ ids: cpus.ids, count: cpus.ids.length }, cpus.ids.length, 1);
  const group = await launch(cpus.ids.length, { cpus: shares });
  const results = await group.run({ stepTime: 1, steps: 1 }, () => {});
  await group.close();
  assert.deepEqual(
    results.map((result) => result.cpus),
    cpus.ids.map(String),
  );
  assert.deepEqual(availableCpus().ids, cpus.ids);
});

const quick: FixtureJob = { stepTime: 1, steps: 2, meet: true };

test('a job that all ranks refuse alike is an error, and the ranks stay', async () => {
  const group = await launch(3);
  const pids = group.pids;
  for (const after of [
    [0, 0, 0],
    [0, 400, 200],
  ]) {
    const refuse = after.map((milliseconds, rank) => ({ rank, after: milliseconds }));
    await assert.rejects(
      group.run({ ...quick, refuse }, () => {}),
      { name: 'DistriError', code: 'usage', message: 'refused for 2 steps' },
    );
    assert.equal(group.failed, false);
    const results = await group.run(quick, () => {});
    assert.deepEqual(
      results.map(({ pid, sum }) => [pid, sum]),
      pids.map((pid) => [pid, 6]),
    );
  }
  await group.close();
});

test('a job that some ranks refuse while others wait for them ends the group', async () => {
  const group = await launch(3);
  const pids = group.pids as readonly number[];
  const started = performance.now();
  await assert.rejects(
    group.run({ ...endless, refuse: [{ rank: 1, after: 0 }] }, () => {}),
    { code: 'usage', message: 'refused for 10000 steps' },
  );
  assert.ok(performance.now() - started >= 2000, 'the others get time to refuse as well');
  assert.equal(group.failed, true);
  assert.deepEqual(pids.filter(isAlive), []);
});

test('a job that some ranks refuse and others finish ends the group', async () => {
  const group = await launch(2);
  const pids = group.pids as readonly number[];
  const job: FixtureJob = { stepTime: 1, steps: 1, refuse: [{ rank: 1, after: 200 }] };
  await assert.rejects(
    group.run(job, () => {}),
    { code: 'usage', message: 'refused for 1 steps' },
  );
  assert.equal(group.failed, true);
  assert.deepEqual(pids.filter(isAlive), []);
  await assert.rejects(
    group.run(quick, () => {}),
    { code: 'usage' },
  );
});

test('a failure while others refuse is what the error says', async () => {
  const group = await launch(2);
  const misbehave = { rank: 0, step: 3, how: 'throw' } as const;
  await assert.rejects(
    group.run({ stepTime: 20, steps: 10, refuse: [{ rank: 1, after: 0 }], misbehave }, () => {}),
    { code: 'checkpoint', message: 'a weight is missing' },
  );
  assert.equal(group.failed, true);
});

test('a killed rank ends the group and is named with its step', async () => {
  await harmed(await launch(3), endless, ([, second]) => process.kill(second as number, 'SIGKILL'), {
    code: 'rank',
    message: /^Rank 1 \(process \d+\) was killed by SIGKILL in step \d+ of 10000/,
    within: SOON_MS,
  });
});

test('a stopped rank ends the group after the timeout', async () => {
  const group = await launch(3, { timeout: 1500 });
  await harmed(group, endless, ([, , third]) => process.kill(third as number, 'SIGSTOP'), {
    code: 'timeout',
    message: /^Rank 2 \(process \d+\) gave no sign of life for [\d.]+ s in step \d+ of 10000/,
    within: 1500 + SOON_MS,
  });
});

test('a rank that is late but alive is waited for', async () => {
  const group = await launch(2, { timeout: 1000 });
  const results = await group.run({ ...quick, late: { rank: 0, by: 3000 } }, () => {});
  assert.deepEqual(
    results.map(({ sum }) => sum),
    [3, 3],
  );
  await group.close();
});

test('a rank whose event loop stands still counts as hung', async () => {
  const job: FixtureJob = { ...endless, misbehave: { rank: 1, step: 3, how: 'block' } };
  await harmed(await launch(2, { timeout: 1500 }), job, () => {}, {
    code: 'timeout',
    message: /^Rank 1 .* no sign of life/,
    within: 1500 + SOON_MS,
  });
});

test("a rank's own error is the message, not what follows from it", async () => {
  const job: FixtureJob = { ...endless, misbehave: { rank: 2, step: 3, how: 'throw' } };
  await harmed(await launch(3), job, () => {}, {
    code: 'checkpoint',
    message: /^a weight is missing$/,
    within: SOON_MS,
  });
});

test('an error that no job waits for ends the group too', async () => {
  const job: FixtureJob = { ...endless, misbehave: { rank: 0, step: 3, how: 'reject-later' } };
  await harmed(await launch(2), job, () => {}, {
    code: 'internal',
    message: /^Rank 0: nobody waits for this$/,
    within: SOON_MS,
  });
});

test('a rank that exits is named with its status and last words', async () => {
  const job: FixtureJob = { ...endless, misbehave: { rank: 1, step: 3, how: 'exit' } };
  await harmed(await launch(2), job, () => {}, {
    code: 'rank',
    message:
      /^Rank 1 \(process \d+\) exited with status 3 in step 4 of 10000; its last words: the last words$/,
    within: SOON_MS,
  });
});

test('an interruption is what the error says', async () => {
  const controller = new AbortController();
  const group = await launch(3, { interruption: controller.signal });
  await harmed(
    group,
    endless,
    () => controller.abort(new DistriError('interrupted', 'Interrupted by SIGINT')),
    { code: 'interrupted', message: /^Interrupted by SIGINT$/, within: SOON_MS },
  );
});

test('a rank that dies between jobs is reported by the next one', async () => {
  const group = await launch(2);
  await group.run({ stepTime: 1, steps: 1 }, () => {});
  process.kill(group.pids[1] as number, 'SIGTERM');
  await delay(300);
  await assert.rejects(
    group.run({ stepTime: 1, steps: 1 }, () => {}),
    /^DistriError: Rank 1 \(process \d+\) was ended by SIGTERM between jobs/,
  );
});

test('a rank that can not be started takes those before it along', async () => {
  await (await launch(1)).close();
  const before = openDescriptors();
  const cpus = [availableCpus().ids, [100_000]];
  await assert.rejects(launch(2, { cpus }), {
    name: 'DistriError',
    code: 'rank',
    message: 'Rank 1 could not be started: no such CPU: 100000',
  });
  await waitForEnd(childrenOf(process.pid), 2000);
  await delay(50);
  assert.equal(openDescriptors(), before);
});

test('a program that can not start is an error of the launch', async () => {
  await assert.rejects(
    launch(2, { entry: new URL('./fixtures/absent.js', import.meta.url) }),
    /^DistriError: Rank \d \(process \d+\) exited with status 1 while starting/,
  );
});
