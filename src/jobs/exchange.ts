import { mean } from '../base/numbers.js';
import type { Communicator, ExchangeMeasurement } from '../engine/addon.js';
import { loadAddon } from '../engine/load.js';
import {
  type ExchangeJob,
  type Latency,
  partBytes,
  type RankExchangeTimes,
} from '../machine/exchange-figures.js';
import { SlotTable } from '../parallel/slots.js';
import type { RankContext } from '../ranks/rank-context.js';

const ROUND_TRIP_BYTES = 64;
const LATENCY_ITERATIONS = 4000;
/** Bytes that all times of one size move together, so that all sizes take about as long. */
const GATHERED_BYTES = 2 ** 28;
const MIN_ITERATIONS = 10;
const MAX_ITERATIONS = 2000;
/** Share of the times that is left out: pages are touched and caches are filled. */
const WARM_UP = 0.2;

/** Measures what exchanging takes, together with the other ranks. */
export async function runExchange(
  { gatherBytes }: ExchangeJob,
  ranks: RankContext,
): Promise<RankExchangeTimes> {
  const { worldSize } = ranks;
  const slots = new SlotTable(worldSize);
  for (const bytes of [ROUND_TRIP_BYTES, ...gatherBytes.map((total) => partBytes(total, worldSize))]) {
    slots.add({
      name: `${bytes} bytes`,
      kind: 'output',
      age: 'fresh',
      bytes: () => bytes,
      reads: () => bytes,
    });
  }
  const communicator = await ranks.connect('denoiser', slots.specs);
  try {
    return await measure(communicator, gatherBytes);
  } finally {
    communicator.close();
  }
}

async function measure(
  communicator: Communicator,
  gatherBytes: readonly number[],
): Promise<RankExchangeTimes> {
  const times = async (pattern: ExchangeMeasurement['pattern'], slot: number, iterations: number) => {
    await communicator.barrier();
    const all = await loadAddon().measureExchange(communicator, { pattern, slot, iterations });
    return all.subarray(Math.floor(WARM_UP * all.length)).map((nanoseconds) => nanoseconds / 1000);
  };
  const barrier = latency(await times('barrier', 0, LATENCY_ITERATIONS));
  const roundTrip = await times('round_trip', 0, LATENCY_ITERATIONS);
  const gathers: number[] = [];
  for (const [index, bytes] of gatherBytes.entries()) {
    const iterations = Math.floor(GATHERED_BYTES / bytes);
    const clamped = Math.min(MAX_ITERATIONS, Math.max(MIN_ITERATIONS, iterations));
    gathers.push(mean(await times('all_gather', index + 1, clamped)));
  }
  return { barrier, roundTrip: roundTrip.length === 0 ? undefined : latency(roundTrip), gathers };
}

function latency(times: Float64Array): Latency {
  const sorted = times.toSorted();
  const quantile = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] as number;
  return { p50: quantile(0.5), p99: quantile(0.99) };
}
