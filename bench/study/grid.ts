import type { ParallelOptions, SyncMode } from '../../src/pipelines/request.js';

/** In the order of what is exact of them, most first. */
export const studyModes = [
  'full_sync',
  'sync_gn',
  'corrected_async_gn',
  'stale_gn',
  'separate_gn',
  'no_sync',
  'naive_patch',
] as const;
export type StudyMode = (typeof studyModes)[number];

/** A way to draw all pictures. */
export interface Setting {
  readonly mode: StudyMode;
  readonly ranks: number;
  /** Undefined where there is no such thing: every step is synchronous, or none. */
  readonly warmupSteps: number | undefined;
}

/** The picture of one rank, which all others are compared with. */
export const alone: Setting = { mode: 'full_sync', ranks: 1, warmupSteps: undefined };

export function hasWarmup(mode: StudyMode): boolean {
  return mode !== 'full_sync' && mode !== 'naive_patch';
}

/** All of them, in the order of tables. */
export function studyGrid(ranks: readonly number[], warmups: readonly number[]): Setting[] {
  return ranks.flatMap((count) =>
    studyModes.flatMap((mode) =>
      (hasWarmup(mode) ? warmups : [undefined]).map((warmupSteps) => ({ mode, ranks: count, warmupSteps })),
    ),
  );
}

/** The folder of its pictures. */
export function settingName({ mode, ranks, warmupSteps }: Setting): string {
  const warmup = warmupSteps === undefined ? '' : `-warmup${warmupSteps}`;
  return ranks === 1 ? 'one-rank' : `${mode}-${ranks}${warmup}`;
}

/** Whole batches, as in the paper's tables: its N devices share one image. */
export function parallelOptions({ mode, warmupSteps }: Setting): ParallelOptions {
  const naive = mode === 'naive_patch';
  return {
    parallelism: naive ? 'naive_patch' : 'patch',
    splitBatch: false,
    syncMode: naive ? 'full_sync' : (mode satisfies SyncMode),
    warmupSteps: warmupSteps ?? 0,
    splitScheme: 'alternate',
  };
}
