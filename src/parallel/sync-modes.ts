import type { patchStatistics } from '../graph/kernels/exchanges.js';

/** What patches of an image exchange after the warm-up. */
interface SyncModeRow {
  /** Whose statistics norms are computed with. */
  readonly statistics: keyof typeof patchStatistics;
  /**
   * What is read of others in a step after the warm-up: of the same step, of the step before, or of the last
   * synchronous one.
   */
  readonly reads: 'same' | 'before' | 'last_synchronous';
  /** What follows the synchronous steps, for people. */
  readonly after: string;
}

/** The modes of `--sync_mode`: names and meanings are distrifuser's, see docs/modes.md. */
export const syncModes = {
  corrected_async_gn: { statistics: 'corrected', reads: 'before', after: 'stale' },
  separate_gn: { statistics: 'separate', reads: 'before', after: 'stale' },
  stale_gn: { statistics: 'stale', reads: 'before', after: 'stale' },
  sync_gn: { statistics: 'fresh', reads: 'before', after: 'stale but for GroupNorm' },
  full_sync: { statistics: 'fresh', reads: 'same', after: 'synchronous' },
  no_sync: { statistics: 'separate', reads: 'last_synchronous', after: 'nothing exchanged' },
} as const satisfies Readonly<Record<string, SyncModeRow>>;

/** Of `--sync_mode`; see docs/modes.md. @useDeclaredType */
export type SyncMode = keyof typeof syncModes;

export const syncModeNames = Object.keys(syncModes) as readonly SyncMode[];
