import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { serialize } from 'node:v8';
import { MessageSocket } from '../../../src/ranks/join/message-socket.js';

/** A message as it goes over the line. */
function framed(message: unknown): Buffer {
  const body = serialize(message);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([length, body]);
}

/** Both ends of a local connection. */
async function connected(): Promise<{ near: Socket; far: Socket; close: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'distri-socket-'));
  const server = createServer();
  const path = join(folder, 'socket');
  server.listen(path);
  await once(server, 'listening');
  const near = connect(path);
  const [far] = (await once(server, 'connection')) as [Socket];
  const close = async () => {
    for (const socket of [near, far]) socket.destroy();
    server.close();
    await rm(folder, { recursive: true });
  };
  return { near, far, close };
}

test('messages arrive whole and in order, however they are cut', () => {
  const sent = [{ type: 'a' }, [1n, new Float32Array([1, 2])], 'x'.repeat(1000), undefined, {}];
  const line = Buffer.concat(sent.map(framed));
  for (const size of [1, 3, 4, 5, 100, line.length]) {
    const socket = new Socket();
    const received: unknown[] = [];
    new MessageSocket(socket).onMessage((message) => received.push(message));
    for (let start = 0; start < line.length; start += size) {
      socket.emit('data', line.subarray(start, start + size));
    }
    assert.deepEqual(received, sent);
  }
});

test('a large message takes as long as its length, not its square', () => {
  const message = new Uint8Array(8 << 20);
  const line = framed(message);
  const socket = new Socket();
  let received = 0;
  new MessageSocket<Uint8Array, never>(socket).onMessage(({ length }) => {
    received += length;
  });
  const started = performance.now();
  // Copied anew with each piece, these 8 MB would be 500 GB.
  for (let start = 0; start < line.length; start += 64) socket.emit('data', line.subarray(start, start + 64));
  assert.equal(received, message.length);
  const took = performance.now() - started;
  assert.ok(took < 10_000, `took ${took.toFixed(0)} ms`);
});

test('a message that is too long is refused where it is sent, and the connection stays', async () => {
  const { near, far, close } = await connected();
  const sender = new MessageSocket<never, unknown>(near);
  const received: unknown[] = [];
  const receiver = new MessageSocket<unknown, never>(far);
  const arrived = new Promise<void>((resolve) =>
    receiver.onMessage((message) => {
      received.push(message);
      resolve();
    }),
  );
  assert.throws(() => sender.send(Buffer.alloc(65 << 20)), {
    name: 'DistriError',
    code: 'internal',
    message: /^A message between ranks has 68\d+ bytes, but 67108864 are the most$/,
  });
  sender.send('short');
  await arrived;
  assert.deepEqual(received, ['short']);
  await close();
});

for (const [what, line, message] of [
  [
    'too long',
    Buffer.from([0, 0, 0, 0xff]),
    /^a message of 4278190080 bytes came, but 67108864 are the most$/,
  ],
  ['no message', Buffer.from([2, 0, 0, 0, 1, 2]), /^what came is no message: /],
] as const) {
  test(`what comes and is ${what} closes the connection, and says why`, async () => {
    const { near, far, close } = await connected();
    const receiver = new MessageSocket<unknown, never>(far);
    const closed = new Promise<void>((resolve) => receiver.onClose(resolve));
    near.write(line);
    await closed;
    assert.match(receiver.failure ?? '', message);
    await close();
  });
}
