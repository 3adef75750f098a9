import { WeightPlan } from '../checkpoint/random-weights.js';
import { vaeScaleFactor } from '../models/autoencoder-kl.js';
import { planBands } from '../parallel/plan-bands.js';
import { SlotTable } from '../parallel/slots.js';
import { describeRange } from '../parallel/strategy.js';
import { decoderHalf } from '../pipelines/vae/decoder.js';
import { planVae, type VaeMode, type VaeWork } from '../pipelines/vae/plan.js';

/** How the ranks share the decoding of a picture. */
export interface PlannedVae {
  /** As asked for: `auto` is not replaced by what it means. */
  readonly mode: VaeMode;
  /** Side of tiles in pixels; undefined for whole pictures. */
  readonly tilePixels: number | undefined;
  /** Those that have a part in it. */
  readonly ranks: readonly VaeRank[];
}

/** Bytes of one rank. */
export interface VaeRank {
  /** From 0. */
  readonly rank: number;
  /** Such as "latent rows 1 to 16 of 32". */
  readonly share: string;
  /** At the worst moment of the decoding. */
  readonly activations: number;
  /** Shared memory that it publishes in: every slot twice. */
  readonly exchange: number;
}

/** What `--vae` means for a picture of this size, built as the ranks build it. */
export function planVaeRanks(mode: VaeMode, work: Omit<VaeWork, 'half'>): PlannedVae {
  const { device, config, size, worldSize } = work;
  const { parallel, tilePixels } = planVae(mode, { half: 'decode', ...work }, undefined).spread;
  const factor = vaeScaleFactor(config);
  const latents = { rows: size.rows / factor, columns: size.columns / factor };
  // Where there are more ranks than rows, the first ones do the work.
  const tileRows = Math.min(latents.rows, (tilePixels ?? size.rows) / factor);
  const count = parallel ? Math.min(worldSize, tileRows) : 1;
  const bands = planBands(tileRows, 0, count);
  const ranks = Array.from({ length: count }, (_, rank): VaeRank => {
    const slots = new SlotTable(count);
    const placement = { place: { rank, worldSize: count }, slots, tilePixels };
    const { peakBytes } = decoderHalf(device, config, new WeightPlan(), latents, placement);
    const rows = describeRange('latent rows', bands.start(rank), bands.rows(rank), tileRows);
    const share = tilePixels === undefined ? rows : `${rows} of each tile`;
    return { rank, share, activations: peakBytes, exchange: 2 * slots.total(rank) };
  });
  return { mode, tilePixels, ranks };
}
