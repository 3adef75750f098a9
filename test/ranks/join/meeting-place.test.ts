import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { MeetingPlace } from '../../../src/ranks/join/meeting-place.js';

let place: MeetingPlace;
let server: Server;

beforeEach(() => {
  place = new MeetingPlace({ launcher: 'test', rank: 0, worldSize: 2, job: `test ${process.pid}` });
  server = createServer();
});
afterEach(() => {
  server.close();
  rmSync(place.folder, { recursive: true, force: true });
});

test('nobody is there until somebody listens, and nothing is left afterwards', async () => {
  assert.equal(await place.enter(), undefined);
  await place.open(server);
  assert.equal(statSync(place.folder).mode & 0o777, 0o700);
  const socket = await place.enter();
  assert.ok(socket);
  socket.destroy();
  place.remove();
  assert.ok(!existsSync(place.folder));
});

test('what a killed first rank left is taken over', async () => {
  mkdirSync(place.folder, { mode: 0o700 });
  writeFileSync(join(place.folder, 'first-rank'), '');
  assert.equal(await place.enter(), undefined);
  // It may have been about to listen.
  const started = performance.now();
  assert.equal(await place.open(server), undefined);
  assert.ok(performance.now() - started > 1500);
  (await place.enter())?.destroy();
});

test('a second first rank of the same job finds the first one, also one that does not listen yet', async () => {
  const opening = place.open(server);
  const second = new MeetingPlace({ launcher: 'test', rank: 0, worldSize: 2, job: `test ${process.pid}` });
  const [, found] = await Promise.all([opening, second.open(createServer())]);
  assert.ok(found);
  found.destroy();
});

test('nobody removes a folder that another process made', async () => {
  await place.open(server);
  const folder = statSync(place.folder).ino;
  const second = new MeetingPlace({ launcher: 'test', rank: 0, worldSize: 2, job: `test ${process.pid}` });
  (await second.open(createServer()))?.destroy();
  second.remove();
  assert.equal(statSync(place.folder).ino, folder);
  rmSync(place.folder, { recursive: true });
  const other = createServer();
  await second.open(other);
  place.remove();
  assert.ok(existsSync(place.folder));
  second.remove();
  assert.ok(!existsSync(place.folder));
  other.close();
});

test('a folder that others may enter is not entered', async () => {
  await place.open(server);
  chmodSync(place.folder, 0o777);
  assert.equal(await place.enter(), undefined);
  await assert.rejects(place.open(createServer()), { code: 'rank', message: /the ranks can't meet here/ });
});
