import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupPhaseLines, phaseLines, rankPhaseLines } from '../../../src/commands/output/phases.js';
import type { DrawReport } from '../../../src/jobs/draw.js';

function report(before: number, steps: readonly number[], after: number, load?: number): DrawReport {
  const loop = steps.reduce((sum, step) => sum + step, 0);
  const timings = {
    starts: { denoise: before },
    phases: { denoise: loop, ...(load === undefined ? {} : { load }) },
    steps,
  };
  return { latency: loop, endToEnd: before + loop + after, timings, exchanges: [] };
}

const run = [report(200, [80, 20, 30], 10.25), report(205, [80, 20, 25], 50)];

test('a call has a row of its slowest rank', () => {
  assert.deepEqual(phaseLines([run], false), [
    'phases in ms, slowest rank',
    'rank  before the loop   loop  iteration 0  mean of the others  after the loop  end to end',
    '   1            205.0  125.0         80.0                22.5            50.0       380.0',
  ]);
});

test('a call has a row of every rank', () => {
  assert.deepEqual(phaseLines([run], true), [
    'phases in ms, every rank',
    'rank  before the loop   loop  iteration 0  mean of the others  after the loop  end to end',
    '   0            200.0  130.0         80.0                25.0            10.3       340.3',
    '   1            205.0  125.0         80.0                22.5            50.0       380.0',
  ]);
});

test('runs of a benchmark are averaged rank by rank', () => {
  const other = [report(400, [180, 20, 30], 710.25), report(205, [80, 20, 25], 50)];
  assert.deepEqual(phaseLines([run, other], false), [
    'phases in ms, slowest rank, mean of 2 runs',
    'rank  before the loop   loop  iteration 0  mean of the others  after the loop  end to end',
    '   0            300.0  180.0        130.0                25.0           360.3       840.3',
  ]);
});

const calls = [
  { prompts: ['a'], files: ['/x/0000.png'], group: 1, reports: [report(500, [80], 10, 400)] },
  { prompts: ['b'], files: ['/x/0001.png'], group: 0, reports: [report(600, [90], 10, 500)] },
  {
    prompts: ['c'],
    files: ['/x/0002.png'],
    group: 1,
    reports: [report(20, [70], 10), report(20, [70], 30)],
  },
  { prompts: ['d'], files: ['/x/0003.png'], group: 1, reports: [report(30, [80], 20)] },
];

test('calls of groups are averaged, those that load the models apart', () => {
  assert.deepEqual(groupPhaseLines(calls), [
    "phases in ms, mean of the calls' slowest ranks",
    'group  calls               number  before the loop  loop  iteration 0  mean of the others  after the loop  end to end',
    '    0  loading the models       1            600.0  90.0         90.0                   -            10.0       700.0',
    '    1  loading the models       1            500.0  80.0         80.0                   -            10.0       590.0',
    '    1  models loaded            2             25.0  75.0         75.0                   -            25.0       125.0',
  ]);
});

test('calls of groups have a row of every rank', () => {
  const [heading, titles, ...rows] = rankPhaseLines(calls);
  assert.equal(heading, 'phases in ms, every rank');
  assert.match(titles ?? '', /^file {6}group {2}rank {2}before the loop {2}loop /);
  assert.deepEqual(
    rows.map((row) => row.split(/ +/).slice(0, 4)),
    [
      ['0000.png', '1', '0', '500.0'],
      ['0001.png', '0', '0', '600.0'],
      ['0002.png', '1', '0', '20.0'],
      ['0002.png', '1', '1', '20.0'],
      ['0003.png', '1', '0', '30.0'],
    ],
  );
});
