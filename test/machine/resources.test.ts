import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { availableCpus, parseCpuList, shareCpus } from '../../src/machine/cpus.js';
import { availableMemory, planWeights } from '../../src/machine/memory.js';

const GIGABYTE = 1e9;

test("the kernel's lists of CPUs are understood", () => {
  assert.deepEqual(parseCpuList('0'), [0]);
  assert.deepEqual(parseCpuList('0-2,5,8-9'), [0, 1, 2, 5, 8, 9]);
  assert.ok(availableCpus().count >= 1);
});

test('CPUs are divided evenly, neighbours together, all of them', () => {
  const cpus = { ids: [0, 1, 2, 3, 8, 9, 10], count: 7 };
  assert.deepEqual(shareCpus(cpus, 3, 2), [
    [0, 1, 2],
    [3, 8],
    [9, 10],
  ]);
  assert.deepEqual(shareCpus(cpus, 1, 7), [cpus.ids]);
});

test('nothing is pinned where that would hurt', () => {
  assert.equal(shareCpus({ ids: [0, 1], count: 2 }, 3, 1), undefined, 'more ranks than CPUs');
  assert.equal(shareCpus({ ids: [0, 1], count: 2 }, 2, 2), undefined, 'more threads than CPUs');
  assert.equal(shareCpus({ ids: [0, 1, 2, 3], count: 2 }, 2, 1), undefined, 'limited in time');
});

async function withMachine(files: Record<string, string>, check: (root: string) => void): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'distri-machine-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, name)), { recursive: true });
      await writeFile(join(root, name), text);
    }
    check(root);
  } finally {
    await rm(root, { recursive: true });
  }
}

const meminfo = { 'proc/meminfo': 'MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n' };

test("the machine's available memory counts where nothing limits it", () =>
  withMachine({ ...meminfo, 'proc/self/cgroup': '0::/\n' }, (root) => {
    assert.equal(availableMemory(root), 8_000_000 * 1024);
  }));

test('the tightest control group counts, and its page cache as free', () =>
  withMachine(
    {
      ...meminfo,
      'proc/self/cgroup': '0::/outer/inner\n',
      'sys/fs/cgroup/outer/memory.max': '3000000000\n',
      'sys/fs/cgroup/outer/memory.current': '2500000000\n',
      'sys/fs/cgroup/outer/memory.stat': 'anon 1\ninactive_file 1500000000\n',
      'sys/fs/cgroup/outer/inner/memory.max': 'max\n',
      'sys/fs/cgroup/outer/inner/memory.current': '2000000000\n',
    },
    (root) => assert.equal(availableMemory(root), 2 * GIGABYTE),
  ));

test("a container's own group is found where its path is not visible, in version 1 too", () =>
  withMachine(
    {
      ...meminfo,
      'proc/self/cgroup': '5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '1000000000',
      'sys/fs/cgroup/memory/memory.usage_in_bytes': '400000000',
    },
    (root) => assert.equal(availableMemory(root), 0.6 * GIGABYTE),
  ));

test('weights are private when every rank can have a copy, else shared', () => {
  assert.equal(planWeights(2 * GIGABYTE, 6 * GIGABYTE).mode, 'private');
  const planned = planWeights(10 * GIGABYTE, 6 * GIGABYTE);
  assert.equal(planned.mode, 'shared');
  assert.equal(planned.reason, 'a copy per rank takes up to 22.0 GB, 6.00 GB of memory are free');
});
