import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { type FromJoined, hello, type ToJoined } from '../../../src/ranks/join/join-messages.js';
import type { LaunchedRank } from '../../../src/ranks/join/launched-rank.js';
import { Meeting } from '../../../src/ranks/join/meeting.js';
import { MeetingPlace } from '../../../src/ranks/join/meeting-place.js';
import { MessageSocket } from '../../../src/ranks/join/message-socket.js';

let jobs = 0;

function newJob(worldSize: number): LaunchedRank {
  return { launcher: 'test', rank: 0, worldSize, job: `meeting ${process.pid} ${jobs++}` };
}

/**
 * Comes to the first rank as another process would; resolves to the exit status that it is sent home with.
 */
async function come(job: LaunchedRank, rank: number): Promise<{ sentHome: Promise<number> }> {
  const socket = await new MeetingPlace(job).enter();
  assert.ok(socket);
  const connection = new MessageSocket<ToJoined<unknown>, FromJoined<unknown>>(socket);
  connection.send(hello(rank));
  const sentHome = new Promise<number>((resolve) => {
    connection.onMessage((message) => {
      if (message.type !== 'end') return;
      resolve(message.status);
      connection.destroy();
    });
  });
  return { sentHome };
}

const open = (job: LaunchedRank) => Meeting.open<unknown, unknown>(job, () => Promise.resolve());

for (const [rank, message] of [
  [
    1,
    /^Two processes started by test came as rank 1 of 3 \(processes \d+ and \d+\): each needs a rank of its own/,
  ],
  [0, /^Two processes started by test came as rank 0 of 3 \(processes \d+ and \d+\): each needs/],
] as const) {
  test(`a job in which rank ${rank} comes twice is refused at once, and nobody waits for the one that lacks`, async () => {
    const job = newJob(3);
    const meeting = await open(job);
    const first = await come(job, 1);
    const second = await come(job, rank);
    await assert.rejects(meeting.complete, { code: 'usage', message });
    assert.equal(await second.sentHome, 2);
    await meeting.close(2);
    if (rank === 0) assert.equal(await first.sentHome, 2);
    assert.ok(!existsSync(new MeetingPlace(job).folder));
  });
}

test('a second first rank is refused, and the first one hears of it', async () => {
  const job = newJob(2);
  const meeting = await open(job);
  const refused = { code: 'usage', message: /^Two processes started by test came as rank 0 of 2/ };
  await assert.rejects(open(job), refused);
  await assert.rejects(meeting.complete, refused);
  await meeting.close(2);
  assert.ok(!existsSync(new MeetingPlace(job).folder));
});

test('two jobs of one name, one after another, leave nothing behind', async () => {
  const job = newJob(2);
  for (let time = 0; time < 2; time++) {
    const meeting = await open(job);
    const { sentHome } = await come(job, 1);
    await meeting.complete;
    assert.ok(!existsSync(new MeetingPlace(job).folder));
    await meeting.close(0);
    assert.equal(await sentHome, 0);
  }
});

test('a signal while the first rank takes its leave ends the leave, and the place is gone', async () => {
  const job = newJob(2);
  const meeting = await open(job);
  const started = performance.now();
  const closing = meeting.close(1);
  setTimeout(() => process.kill(process.pid, 'SIGTERM'), 50);
  await closing;
  assert.ok(performance.now() - started < 4000, 'it waits for nobody any more');
  assert.ok(!existsSync(new MeetingPlace(job).folder));
});
