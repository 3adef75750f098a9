import { basename } from 'node:path';
import type { DrawnCall } from '../../app/records/generation-record.js';
import type { DrawReport } from '../../jobs/draw.js';
import { meanPhaseTimes, type PhaseTimes, phaseTimes, slowestRank } from '../../jobs/report/phase-times.js';
import { table } from './table.js';

const titles = [
  'before the loop',
  'loop',
  'iteration 0',
  'mean of the others',
  'after the loop',
  'end to end',
] as const;

/**
 * The phases of calls of one group on average: a row of the rank that is slowest on average, or of every
 * rank.
 */
export function phaseLines(runs: readonly (readonly DrawReport[])[], everyRank: boolean): string[] {
  const ranks = (runs[0] as readonly DrawReport[]).map((_, rank) =>
    meanPhaseTimes(runs.map((run) => phaseTimes(run[rank] as DrawReport))),
  );
  const slowest = slowestRank(ranks);
  const rows = ranks.flatMap((times, rank) =>
    everyRank || rank === slowest ? [[String(rank), ...cells(times)]] : [],
  );
  const which = everyRank ? 'every rank' : 'slowest rank';
  const over = runs.length === 1 ? '' : `, mean of ${runs.length} runs`;
  return [`phases in ms, ${which}${over}`, ...table(['rank', ...titles], rows)];
}

/** The phases of the calls of several groups: a row for every call and rank. */
export function rankPhaseLines(calls: readonly DrawnCall[]): string[] {
  const rows = calls.flatMap(({ files, group, reports }) =>
    reports.map((report, rank) => [
      basename(files[0] as string),
      String(group),
      String(rank),
      ...cells(phaseTimes(report)),
    ]),
  );
  return ['phases in ms, every rank', ...table(['file', 'group', 'rank', ...titles], rows, [0])];
}

/**
 * The phases of the calls of several groups on average: the slowest rank of each call, those that load models
 * apart.
 */
export function groupPhaseLines(calls: readonly DrawnCall[]): string[] {
  const groups = [...new Set(calls.map(({ group }) => group))].toSorted((a, b) => a - b);
  const rows = groups.flatMap((group) => {
    const own = calls.filter((call) => call.group === group);
    const kinds: readonly [string, readonly DrawnCall[]][] = [
      ['loading the models', own.filter(loadsModels)],
      ['models loaded', own.filter((call) => !loadsModels(call))],
    ];
    return kinds
      .filter(([, some]) => some.length > 0)
      .map(([kind, some]) => [String(group), kind, String(some.length), ...cells(meanOfSlowest(some))]);
  });
  return [
    "phases in ms, mean of the calls' slowest ranks",
    ...table(['group', 'calls', 'number', ...titles], rows, [1]),
  ];
}

/** The mean of each call's slowest rank. */
function meanOfSlowest(calls: readonly DrawnCall[]): PhaseTimes {
  return meanPhaseTimes(calls.map(({ reports }) => phaseTimes(reports[slowestRank(reports)] as DrawReport)));
}

function loadsModels({ reports }: DrawnCall): boolean {
  return reports.some(({ timings }) => timings.phases.load !== undefined);
}

/** In the order of the titles. */
function cells({ beforeLoop, loop, iteration0, otherIterations, afterLoop, endToEnd }: PhaseTimes): string[] {
  return [beforeLoop, loop, iteration0, otherIterations, afterLoop, endToEnd].map(
    (time) => time?.toFixed(1) ?? '-',
  );
}
