import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isAlive, waitForEnd } from '../fixtures/processes.js';

const program = fileURLToPath(new URL('../fixtures/parent.js', import.meta.url));
const started: ChildProcess[] = [];

after(() => {
  for (const parent of started) parent.kill('SIGKILL');
});

/** A parent in a process group of its own, as a terminal would start it, whose ranks are at work. */
async function startParent(
  args: readonly string[] = ['20000', 'meet'],
): Promise<{ parent: ChildProcess; ranks: number[]; lines: Interface }> {
  const parent = spawn(process.execPath, [program, ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started.push(parent);
  const lines = createInterface(parent.stdout);
  const [line] = (await once(lines, 'line')) as [string];
  const ranks = JSON.parse(line) as number[];
  assert.ok(ranks.every(isAlive));
  return { parent, ranks, lines };
}

test('ranks end when their parent is killed', async () => {
  const { parent, ranks } = await startParent();
  parent.kill('SIGKILL');
  await waitForEnd(ranks, 2000);
});

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  test(`${signal} to the whole process group, as from a terminal, ends it with status ${status}`, async () => {
    const { parent, ranks, lines } = await startParent();
    const said = once(lines, 'line');
    process.kill(-(parent.pid as number), signal);
    const [code] = await once(parent, 'exit');
    assert.equal(code, status);
    assert.deepEqual(await said, [`Interrupted by ${signal}`]);
    await waitForEnd(ranks, 0);
  });
}

test('being stopped for longer than the timeout and continued, as by Ctrl-Z and fg, does no harm', async () => {
  const { parent, ranks } = await startParent(['1500']);
  process.kill(-(parent.pid as number), 'SIGSTOP');
  await delay(2500);
  process.kill(-(parent.pid as number), 'SIGCONT');
  await delay(2000);
  assert.ok([parent.pid as number, ...ranks].every(isAlive));
  parent.kill('SIGINT');
  const [code] = await once(parent, 'exit');
  assert.equal(code, 130);
});
