/** What every rank is told to measure. */
export interface ExchangeJob {
  /** Bytes that an all-gather has as its result; the ranks' parts are equal and whole cache lines. */
  readonly gatherBytes: readonly number[];
}

/** Microseconds. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** One rank's measurement. */
export interface RankExchangeTimes {
  readonly barrier: Latency;
  /** Undefined for ranks that are not part of it. */
  readonly roundTrip: Latency | undefined;
  /** Mean microseconds of each of the job's all-gathers. */
  readonly gathers: readonly number[];
}

/** An all-gather as nccl-tests reports one. */
export interface GatherFigures {
  /** Of the result. */
  readonly bytes: number;
  /** Mean microseconds on the slowest rank. */
  readonly time: number;
  /** bytes / time, in GB/s. */
  readonly algorithmBandwidth: number;
  /** algorithmBandwidth * (n - 1) / n: what each rank gets from others, whatever n is; in GB/s. */
  readonly busBandwidth: number;
}

export interface ExchangeFigures {
  readonly ranks: number;
  readonly barrier: Latency;
  /** 64 bytes from rank 0 to rank 1 and back. */
  readonly roundTrip: Latency;
  readonly gathers: readonly GatherFigures[];
}

const KIBIBYTE = 1024;
const CACHE_LINE = 64;

/** 1 KiB to 64 MiB, each four times the one before. */
export const inspectedBytes: readonly number[] = Array.from(
  { length: 9 },
  (_, index) => KIBIBYTE * 4 ** index,
);

/** Bytes of each rank's part, so that the parts of `ranks` make up about `bytes`. */
export function partBytes(bytes: number, ranks: number): number {
  return Math.max(1, Math.floor(bytes / ranks / CACHE_LINE)) * CACHE_LINE;
}

/** The slowest rank counts: the others only waited less. */
export function summarize(
  times: readonly RankExchangeTimes[],
  gatherBytes: readonly number[],
): ExchangeFigures {
  const ranks = times.length;
  return {
    ranks,
    barrier: slowest(times.map(({ barrier }) => barrier)),
    roundTrip: slowest(times.flatMap(({ roundTrip }) => roundTrip ?? [])),
    gathers: gatherBytes.map((bytes, index) => {
      const time = Math.max(...times.map(({ gathers }) => gathers[index] as number));
      return gatherFigures(ranks * partBytes(bytes, ranks), time, ranks);
    }),
  };
}

/** `time` in microseconds. Formulas: nccl-tests, doc/PERFORMANCE.md. */
export function gatherFigures(bytes: number, time: number, ranks: number): GatherFigures {
  const algorithmBandwidth = bytes / time / 1000;
  return { bytes, time, algorithmBandwidth, busBandwidth: (algorithmBandwidth * (ranks - 1)) / ranks };
}

function slowest(latencies: readonly Latency[]): Latency {
  const most = (pick: (latency: Latency) => number) => Math.max(...latencies.map(pick));
  return { p50: most(({ p50 }) => p50), p99: most(({ p99 }) => p99) };
}
