import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeMachine, readInstructionSets, readNumaNodes } from '../../src/machine/machine.js';
import { inNewFolder } from '../e2e/cli.js';

test('instruction sets are read on x86-64 and on ARM', () => {
  assert.deepEqual(readInstructionSets('processor\t: 0\nflags\t\t: fpu avx2 sse4_2 avx512f hypervisor\n'), [
    'sse4_2',
    'avx2',
    'avx512f',
  ]);
  assert.deepEqual(readInstructionSets('Features\t: fp asimd evtstrm sve i8mm\n'), ['asimd', 'sve', 'i8mm']);
  assert.deepEqual(readInstructionSets(''), []);
});

test('NUMA nodes come in the order of their numbers, with CPUs and memory', async () => {
  await inNewFolder(async (folder) => {
    for (const [name, cpus, kilobytes] of [
      ['node10', '4-7\n', 2048],
      ['node2', '0-3\n', 1024],
    ] as const) {
      await mkdir(join(folder, name));
      await writeFile(join(folder, name, 'cpulist'), cpus);
      await writeFile(join(folder, name, 'meminfo'), `Node 2 MemTotal:       ${kilobytes} kB\n`);
    }
    await mkdir(join(folder, 'power'));
    assert.deepEqual(readNumaNodes(folder), [
      { id: 2, cpus: [0, 1, 2, 3], memoryBytes: 1024 * 1024 },
      { id: 10, cpus: [4, 5, 6, 7], memoryBytes: 2048 * 1024 },
    ]);
    assert.deepEqual(readNumaNodes(join(folder, 'absent')), []);
  });
});

test('the machine has as many usable CPUs as allowed ones, or fewer, and memory', () => {
  const machine = describeMachine();
  assert.ok(machine.usableCpus >= 1 && machine.usableCpus <= machine.allowedCpus);
  assert.ok(machine.availableBytes > 0 && machine.availableBytes <= machine.memoryBytes);
});
