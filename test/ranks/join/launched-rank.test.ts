import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniteCpus } from '../../../src/machine/cpus.js';
import { readLaunchedRank } from '../../../src/ranks/join/launched-rank.js';

const torchrun = { RANK: '1', WORLD_SIZE: '4', LOCAL_RANK: '1', LOCAL_WORLD_SIZE: '4', MASTER_PORT: '29500' };
const openMpi = { OMPI_COMM_WORLD_RANK: '2', OMPI_COMM_WORLD_SIZE: '3', PMIX_NAMESPACE: '77' };
const slurm = { SLURM_PROCID: '3', SLURM_NTASKS: '4', SLURM_LOCALID: '3', SLURM_JOB_ID: '5' };

const understood: readonly [
  environment: Record<string, string>,
  launcher: string,
  rank: number,
  size: number,
][] = [
  [torchrun, 'torchrun', 1, 4],
  [openMpi, 'mpirun', 2, 3],
  [{ PMI_RANK: '0', PMI_SIZE: '2' }, 'mpiexec', 0, 2],
  [slurm, 'srun', 3, 4],
  [{ ...slurm, SLURM_STEP_NUM_TASKS: '8' }, 'srun', 3, 8],
  [{ ...openMpi, ...slurm, SLURM_PROCID: '0' }, 'mpirun', 2, 3],
  [{ ...torchrun, OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '1' }, 'torchrun', 1, 4],
];

test("every launcher's variables say who a process is", () => {
  for (const [environment, launcher, rank, worldSize] of understood) {
    const { job, ...launched } = readLaunchedRank(environment) ?? { job: '' };
    assert.deepEqual(launched, { launcher, rank, worldSize });
    assert.notEqual(job, '');
  }
});

test('jobs have the same name in all their processes and different ones otherwise', () => {
  const job = (environment: Record<string, string>) => readLaunchedRank(environment)?.job;
  assert.equal(job(torchrun), job({ ...torchrun, RANK: '0', LOCAL_RANK: '0' }));
  assert.notEqual(job(torchrun), job({ ...torchrun, MASTER_PORT: '29501' }));
  assert.notEqual(job(slurm), job({ ...slurm, SLURM_STEP_ID: '1' }));
});

test('without a launcher, or where it started one process of many, ranks are started', () => {
  const alone: Record<string, string>[] = [
    {},
    { LOCAL_RANK: '0' },
    { SLURM_NTASKS: '4', SLURM_JOB_ID: '5' },
    { ...slurm, SLURM_PROCID: '0', SLURM_NTASKS: '1' },
    { ...torchrun, DISTRI_LAUNCHER: 'none' },
  ];
  for (const environment of alone) assert.equal(readLaunchedRank(environment), undefined);
});

const refused: readonly [environment: Record<string, string>, message: RegExp, code: string][] = [
  [{ RANK: '1' }, /^RANK is set but WORLD_SIZE is not.*DISTRI_LAUNCHER=none/, 'usage'],
  [{ WORLD_SIZE: '2' }, /^WORLD_SIZE is set but RANK is not/, 'usage'],
  [{ SLURM_PROCID: '0' }, /^SLURM_PROCID is set but SLURM_NTASKS is not/, 'usage'],
  [{ RANK: '4', WORLD_SIZE: '4' }, /^RANK is 4, but WORLD_SIZE is 4/, 'usage'],
  [{ RANK: 'x', WORLD_SIZE: '4' }, /^Expected an integer of at least 0 for RANK but received "x"/, 'usage'],
  [{ RANK: '0', WORLD_SIZE: '0' }, /for WORLD_SIZE but received "0"/, 'usage'],
  [{ ...torchrun, ...openMpi }, /rank 1 of 4 .* of torchrun and rank 2 of 3 in those of mpirun/, 'usage'],
  [
    { ...torchrun, LOCAL_WORLD_SIZE: '2' },
    /^torchrun started 4 ranks, 2 of them on this host/,
    'unsupported',
  ],
  [{ ...slurm, SLURM_NNODES: '2' }, /^srun started 4 ranks, on 2 hosts/, 'unsupported'],
  [
    { ...torchrun, MASTER_PORT: '../../x' },
    /^Expected a port from 1 to 65535 for MASTER_PORT but received "/,
    'usage',
  ],
  [{ ...torchrun, MASTER_PORT: '0' }, /^Expected a port .* for MASTER_PORT/, 'usage'],
  [{ ...torchrun, MASTER_ADDR: 'a b' }, /^Expected a host's name or address for MASTER_ADDR/, 'usage'],
  [
    { ...torchrun, TORCHELASTIC_RUN_ID: 'a\nb' },
    /^Expected up to 255 printable characters for TORCH/,
    'usage',
  ],
  [{ ...torchrun, TORCHELASTIC_RESTART_COUNT: 'x' }, /^Expected an integer of at least 0 for TORCH/, 'usage'],
  [
    { ...openMpi, PMIX_NAMESPACE: 'x'.repeat(256) },
    /^Expected up to 255 printable characters for PMIX/,
    'usage',
  ],
  [{ ...slurm, SLURM_JOB_ID: '/etc' }, /^Expected an integer of at least 0 for SLURM_JOB_ID/, 'usage'],
  [{ DISTRI_LAUNCHER: 'slurm' }, /^Expected auto or none for DISTRI_LAUNCHER/, 'usage'],
];

test('contradictions and several hosts are refused', () => {
  for (const [environment, message, code] of refused) {
    assert.throws(() => readLaunchedRank(environment), { message, code });
  }
});

test('what is wrong for all ranks only the first one says', () => {
  for (const [rank, speaks] of [
    ['0', true],
    ['1', false],
  ] as const) {
    const read = () => readLaunchedRank({ ...torchrun, RANK: rank, MASTER_PORT: 'x' });
    assert.throws(read, { speaks });
  }
});

test('processes that were given CPUs of their own have all of them together', () => {
  assert.deepEqual(uniteCpus({ ids: [0], count: 1 }, [[1], [2]]), { ids: [0, 1, 2], count: 3 });
  assert.deepEqual(uniteCpus({ ids: [0, 1], count: 2 }, [[0, 1]]), { ids: [0, 1], count: 2 });
  assert.deepEqual(uniteCpus({ ids: [0, 1, 2], count: 2 }, [[0, 1, 2]]), { ids: [0, 1, 2], count: 2 });
});
