import { setTimeout } from 'node:timers/promises';
import { summarize } from '../src/base/statistics.js';
import { table } from '../src/commands/output/table.js';

/**
 * Who takes part in a benchmark: one or more processes with the model loaded and a first step behind them.
 */
export interface Contestant {
  readonly name: string;
  /** Milliseconds of one step. */
  step(): Promise<number>;
  readonly pids: readonly number[];
  close(): Promise<void>;
}

/** Milliseconds, `[contestant][round]`. */
export async function takeTurns(
  contestants: readonly Contestant[],
  rounds: number,
  signal: AbortSignal,
): Promise<readonly (readonly number[])[]> {
  // Threads of some engines spin for a while after a step.
  const settle = 20;
  const times: number[][] = contestants.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, contestant] of contestants.entries()) {
      signal.throwIfAborted();
      times[index]?.push(await contestant.step());
      await setTimeout(settle);
    }
  }
  return times;
}

/** The best and the median of each. */
export function tableOfTimes(
  contestants: readonly Contestant[],
  times: readonly (readonly number[])[],
): string[] {
  const rows = contestants.map(({ name }, index) => {
    const { min, median } = summarize(times[index] as readonly number[]);
    return [name, min.toFixed(1), median.toFixed(1)];
  });
  return table(['', 'best ms', 'median ms'], rows, [0]);
}

/**
 * Of the best times, and of times of the same rounds, which slow moments of the machine make longer together.
 */
export function ratioText(times: readonly number[], others: readonly number[]): string {
  const best = Math.min(...times) / Math.min(...others);
  const { median } = summarize(times.map((time, round) => time / (others[round] as number)));
  return `${best.toFixed(3)} (best), ${median.toFixed(3)} (median of rounds)`;
}
