import {
  type ParallelismName,
  type ParallelOptions,
  type SyncMode,
  syncModes,
} from '../../src/pipelines/request.js';

/** What tables call a way to share a picture: patches of a UNet by their mode, all else by its name. */
export type StudyMode = SyncMode | ParallelismName;

/** Of a UNet, in the order of what is exact of them, most first. */
export const studyModes: readonly StudyMode[] = [
  'full_sync',
  'sync_gn',
  'corrected_async_gn',
  'stale_gn',
  'separate_gn',
  'no_sync',
  'naive_patch',
];

/** Of a transformer, likewise; for `patch` all modes but full_sync and no_sync are the same. */
export const transformerModes: readonly StudyMode[] = [
  'sequence',
  'tensor',
  'pipefusion',
  'patch',
  'naive_patch',
];

/** A way to draw all pictures. */
export interface Setting {
  readonly mode: StudyMode;
  readonly ranks: number;
  /** Undefined where there is no such thing: every step is synchronous, or none. */
  readonly warmupSteps: number | undefined;
}

/** The picture of one rank, which all others are compared with. */
export const alone: Setting = { mode: 'full_sync', ranks: 1, warmupSteps: undefined };

const exactOrNaive: ReadonlySet<StudyMode> = new Set(['full_sync', 'naive_patch', 'sequence', 'tensor']);

export function hasWarmup(mode: StudyMode): boolean {
  return !exactOrNaive.has(mode);
}

/** All of them, in the order of tables. */
export function studyGrid(
  ranks: readonly number[],
  warmups: readonly number[],
  modes = studyModes,
): Setting[] {
  return ranks.flatMap((count) =>
    modes.flatMap((mode) =>
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
  const syncMode = syncModes.find((name) => name === mode);
  const displaced = mode === 'patch' ? 'corrected_async_gn' : 'full_sync';
  return {
    parallelism: syncMode ? 'patch' : (mode as ParallelismName),
    splitBatch: false,
    syncMode: syncMode ?? displaced,
    warmupSteps: warmupSteps ?? 0,
    splitScheme: 'alternate',
  };
}
