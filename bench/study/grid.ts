import type { SetupOptions } from '../../src/app/options.js';
import { type DeviceChoice, referenceDevice } from '../../src/engine/device.js';
import { hasWarmUp, type Mode } from '../modes.js';

/** A way to draw all pictures. */
export interface Setting {
  readonly mode: Mode;
  readonly ranks: number;
  /** Undefined where there is no such thing: every step is synchronous, or none. */
  readonly warmupSteps: number | undefined;
  /** By default the one that all others are compared with. */
  readonly device?: DeviceChoice;
}

/** The picture of one rank, which all others are compared with; it shares with nobody, whatever its mode. */
export const alone: Setting = {
  mode: { name: 'one rank', parallelism: 'patch', options: {} },
  ranks: 1,
  warmupSteps: undefined,
};

/** Every mode on each number of ranks, those with a warm-up with each of them. */
export function studyGrid(
  modes: readonly Mode[],
  ranks: readonly number[],
  warmups: readonly number[],
): readonly Setting[] {
  return ranks.flatMap((count) =>
    modes.flatMap((mode) =>
      warmupsOf(mode, warmups).map((warmupSteps) => ({ mode, ranks: count, warmupSteps })),
    ),
  );
}

/** Those that a mode is drawn with. */
export function warmupsOf(mode: Mode, warmups: readonly number[]): readonly (number | undefined)[] {
  return hasWarmUp(mode) ? warmups : [undefined];
}

/** The folder of its pictures. */
export function settingName({ mode, ranks, warmupSteps, device }: Setting): string {
  const computed = device === undefined ? '' : `-${device.dtype}-${device.engine}`;
  if (ranks === 1) return `one-rank${computed}`;
  const warmup = warmupSteps === undefined ? '' : `-warmup${warmupSteps}`;
  return `${mode.name.replaceAll(' ', '-')}-${ranks}${warmup}${computed}`;
}

/** Whole batches, as in the paper's tables: its N devices share one image. */
export function setupOf({
  mode,
  ranks,
  warmupSteps,
  device = referenceDevice,
}: Setting): SetupOptions & Pick<Mode, 'parallelism'> {
  const { parallelism, options } = mode;
  const warmUp = warmupSteps === undefined ? {} : { warmupSteps };
  const { dtype, engine } = device;
  return { ...options, ...warmUp, parallelism, ranks, splitBatch: false, dtype, engine };
}
