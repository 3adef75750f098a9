import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
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

test('ranks that are stopped end as well when their parent is killed', async () => {
  const { parent, ranks } = await startParent();
  for (const rank of ranks) process.kill(rank, 'SIGSTOP');
  parent.kill('SIGKILL');
  await waitForEnd(ranks, 2000);
});

test('a process whose parent is gone already ends at once', () => {
  const load = new URL('../../../src/engine/load.js', import.meta.url).href;
  const orphan = `import(${JSON.stringify(load)}).then(({ loadAddon }) => loadAddon().dieWithParent(${process.ppid}))`;
  const { signal } = spawnSync(process.execPath, ['-e', orphan]);
  assert.equal(signal, 'SIGKILL');
});

/** What a parent of two ranks says that may open `left` files. */
function withDescriptors(left: number): string {
  const arguments_ = [program, '20000', 'once', String(left)];
  const command = ['-c', 'ulimit -n 100; exec "$@"', 'sh', process.execPath, ...arguments_];
  const { stdout, stderr } = spawnSync('sh', command, { encoding: 'utf8', timeout: 30_000 });
  return `${stdout}${stderr}`.trimEnd();
}

test('too few descriptors are one clear line, wherever they run out', () => {
  assert.match(withDescriptors(50), /^\[\d+,\d+\]$/);
  const who = new Set<string | undefined>();
  for (const left of [3, 6, 9, 12, 15]) {
    const said = withDescriptors(left);
    assert.match(said, /^(?:The ranks|Rank [01]) could not be started: [^\n]*too many open files[^\n]*$/i);
    who.add(/^The ranks|^Rank 0|^Rank 1/.exec(said)?.[0]);
  }
  assert.ok(who.has('The ranks') && who.has('Rank 0'), [...who].join());
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
