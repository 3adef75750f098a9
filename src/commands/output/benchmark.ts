import { bytesText, secondsText } from '../../base/numbers.js';
import type { BenchmarkFigures, PhaseFigures, RankFigures } from '../../jobs/report/benchmark.js';
import { table } from './table.js';

const phaseNames: Readonly<Record<PhaseFigures['phase'], string>> = {
  call: 'whole call',
  text: 'text',
  firstStep: 'first step',
  synchronousStep: 'synchronous step',
  staleStep: 'stale step',
  decode: 'VAE decode',
};

/** As distrifuser's scripts print it. */
export function latencyLine({ latencySeconds }: BenchmarkFigures): string {
  return `Latency: ${latencySeconds.toFixed(5)} s`;
}

/** Tables of what a run consists of and of what each rank needs. */
export function benchmarkLines({ phases, ranks, loadSeconds }: BenchmarkFigures): string[] {
  return [
    ...table(['seconds', 'times', 'min', 'median', 'p90', 'max'], phases.map(phaseRow), [0]),
    `models were loaded once, in ${secondsText(loadSeconds)}`,
    '',
    ...table(
      ['rank', 'peak memory', 'private', 'steps', 'sent per step', 'received', 'waited'],
      ranks.flatMap(rankRows),
      [0, 3],
    ),
  ];
}

function phaseRow({ phase, count, min, median, p90, max }: PhaseFigures): string[] {
  return [phaseNames[phase], String(count), ...[min, median, p90, max].map((time) => time.toFixed(4))];
}

/** A row for each kind of steps; the memory is in the first. */
function rankRows({ rank, peakMemoryBytes, privateMemoryBytes, exchanges }: RankFigures): string[][] {
  const memory = [String(rank), bytesText(peakMemoryBytes), bytesText(privateMemoryBytes)];
  if (exchanges.length === 0) return [[...memory, '', 'nothing', 'nothing', '']];
  return exchanges.map(({ kind, bytesPublished, bytesFetched, waitedSeconds }, index) => [
    ...(index === 0 ? memory : ['', '', '']),
    kind,
    bytesText(bytesPublished),
    bytesText(bytesFetched),
    `${(1000 * waitedSeconds).toFixed(2)} ms`,
  ]);
}
