import type { Command } from 'commander';
import type { LaunchedRanks } from '../../app/rank-groups.js';
import { DistriError } from '../../base/errors.js';

/** The option -n as a launcher decided it; empty where none did. Refuses another number. */
export function launchedRanks(
  command: Command,
  launched: LaunchedRanks | undefined,
): { readonly nproc_per_node?: number } {
  if (launched === undefined) return {};
  const { worldSize, launcher } = launched;
  const given = command.opts().nproc_per_node;
  if (command.getOptionValueSource('nproc_per_node') === 'cli' && given !== worldSize) {
    throw new DistriError(
      'usage',
      `Expected ${worldSize} for --nproc_per_node, or nothing, because ${launcher} started ${worldSize} ranks, but received ${given}; ` +
        'DISTRI_LAUNCHER=none makes distri start ranks itself',
    );
  }
  return { nproc_per_node: worldSize };
}

/** A launcher's processes are one group. */
export function refuseLaunchedGroups(
  { data_parallel = 1 }: { readonly data_parallel?: number },
  launched: LaunchedRanks | undefined,
): void {
  if (launched === undefined || data_parallel === 1) return;
  throw new DistriError('usage', `--data_parallel needs ranks that distri starts, not ${launched.launcher}`);
}
