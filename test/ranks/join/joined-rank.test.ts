import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { RankEvents } from '../../../src/ranks/group/rank-link.js';
import { type Guest, JoinedRank } from '../../../src/ranks/join/joined-rank.js';
import { MessageSocket } from '../../../src/ranks/join/message-socket.js';

const events: RankEvents<unknown, unknown> = { message: () => {}, lost: () => {}, failed: () => {} };

/** A rank of process `pid`, and its own end of the connection. */
async function join(pid: number, lost = events.lost) {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const far = new Socket().connect(port, '127.0.0.1');
  const [near] = (await once(server, 'connection')) as [Socket];
  server.close();
  const guest: Guest<unknown, unknown> = new MessageSocket(near);
  const hello = { type: 'hello', rank: 1, pid, cpus: [] } as const;
  return { rank: new JoinedRank(hello, guest, [], { ...events, lost }), far };
}

test('a rank whose process is gone before its connection is killed without harm', async () => {
  const child = spawn('true');
  await once(child, 'exit');
  const { rank, far } = await join(child.pid as number);
  rank.kill(1);
  // What a timer throws would end this process.
  await delay(400);
  assert.ok(rank.running, 'there was nothing to kill');
  far.destroy();
  await rank.gone;
});

test('a rank that breaks off says why, where that is known', async () => {
  const lost = new Promise<string>((resolve) => {
    void join(process.pid, (_, how) => resolve(how)).then(({ far }) => {
      far.write(Buffer.from([0, 0, 0, 0xff]));
    });
  });
  assert.equal(
    await lost,
    'broke off while starting: a message of 4278190080 bytes came, but 67108864 are the most',
  );
});
