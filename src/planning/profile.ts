import type { DeviceChoice } from '../engine/device.js';
import type { ComputeKind } from '../graph/operators.js';
import type { GatherFigures } from '../machine/exchange-figures.js';
import type { WeightsMode } from '../machine/memory.js';

/** Under what a profile is measured: ranks at the same time, as many threads each. */
export interface ProfileSetting {
  readonly ranks: number;
  readonly threads: number;
  readonly weights: WeightsMode;
  readonly device: DeviceChoice;
}

/**
 * How long an operation of a kind takes for its amount of work: multiply-accumulates, or bytes where the kind
 * is `other`.
 */
export interface ProbeTime {
  readonly kind: ComputeKind;
  readonly work: number;
  readonly seconds: number;
}

/** When a machine was measured, and how busy it was then. */
export interface Measured {
  /** In ISO 8601. */
  readonly time: string;
  /** The load average of the minute before: how many processes ran or wanted to. */
  readonly load: number;
}

/** What was measured of this machine under one setting. */
export interface MachineProfile {
  readonly setting: ProfileSetting;
  readonly measured: Measured;
  /** On the slowest rank, from small to large within each kind. */
  readonly probes: readonly ProbeTime[];
  /** All-gathers between the ranks; none for one rank. */
  readonly gathers: readonly GatherFigures[];
  /** Seconds of a barrier, 0 for one rank. */
  readonly barrier: number;
}

/** Measures a machine, or knows what was measured before. */
export type MeasureProfile = (setting: ProfileSetting) => Promise<MachineProfile>;
