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
  await place.open(server);
  (await place.enter())?.destroy();
});

test('a second first rank of the same job is refused', async () => {
  await place.open(server);
  await assert.rejects(place.open(createServer()), { code: 'usage', message: /^Another first rank/ });
});

test('a folder that others may enter is not entered', async () => {
  await place.open(server);
  chmodSync(place.folder, 0o777);
  assert.equal(await place.enter(), undefined);
  await assert.rejects(place.open(createServer()), { code: 'rank', message: /the ranks can't meet here/ });
});
