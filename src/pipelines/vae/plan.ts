import { bytesText } from '../../base/numbers.js';
import type { GridSize } from '../../base/sizes.js';
import { WeightPlan } from '../../checkpoint/random-weights.js';
import type { Device } from '../../engine/device.js';
import { type AutoencoderKLConfig, vaeScaleFactor } from '../../models/autoencoder-kl.js';
import { SlotTable } from '../../parallel/slots.js';
import type { VaeSpread } from '../load-options.js';
import { decoderHalf } from './decoder.js';
import { encoderHalf } from './encoder.js';

export const vaeModes = ['auto', 'parallel', 'rank0', 'tiled'] as const;
/**
 * Of `--vae`: `parallel`, a band of rows for each rank; `rank0`, all on the first; `tiled`, in squares as
 * diffusers' `enable_tiling`; `auto`, tiles where the rest does not fit into memory, else bands.
 * @useDeclaredType
 */
export type VaeMode = (typeof vaeModes)[number];

/** What half a VAE will do to one picture, decided for all ranks. */
export interface VaeWork {
  readonly device: Device;
  readonly half: 'decode' | 'encode';
  readonly config: AutoencoderKLConfig;
  /** Of the picture in pixels. */
  readonly size: GridSize;
  readonly worldSize: number;
}

/** How the ranks will share a VAE's work, and why, for people. */
export interface VaePlan {
  readonly spread: VaeSpread;
  readonly reason: string;
  /** Bytes of activations that the ranks hold together, an estimate. */
  readonly bytes: number;
}

/** Others and the system need some, and an estimate is one. */
const USABLE_SHARE = 0.7;

/**
 * What `--vae` means for this work. `auto`: every rank takes a band where there are several ranks and rows;
 * tiles, as diffusers' VAE tiling and with its seams, only where a whole picture would not fit into memory.
 * `tilePixels` replaces the size of the checkpoint's pictures.
 */
export function planVae(
  mode: VaeMode,
  work: VaeWork,
  tilePixels: number | undefined,
  available = work.device.freeBytes(),
): VaePlan {
  const parallel = mode !== 'rank0' && work.worldSize > 1;
  const tile = tilePixels ?? defaultTile(work.config);
  const whole: VaeSpread = { parallel, tilePixels: undefined };
  const tiled: VaeSpread = { parallel, tilePixels: tile };
  const needed = activationBytes(work, whole);
  if (mode === 'tiled') return plan(work, tiled, `tiles of ${tile} px, ${describe(tiled, work)}`);
  if (mode !== 'auto') return plan(work, whole, describe(whole, work));
  if (needed <= USABLE_SHARE * available) {
    return plan(
      work,
      whole,
      `${describe(whole, work)}: ${bytesText(needed)} of ${bytesText(available)} free`,
    );
  }
  const reason = `a whole picture takes about ${bytesText(needed)}, ${bytesText(available)} of memory are free`;
  return plan(work, tiled, `tiles of ${tile} px, ${describe(whole, work)}: ${reason}`);
}

/** Tiles are a multiple of this many pixels, so that a quarter of one is whole latents. */
export function tileUnit(config: AutoencoderKLConfig): number {
  return 4 * vaeScaleFactor(config);
}

/** diffusers' `tile_sample_min_size`: the size of the pictures that the VAE was made for. */
function defaultTile(config: AutoencoderKLConfig): number {
  const unit = tileUnit(config);
  return Math.max(unit, Math.floor(config.sampleSize / unit) * unit);
}

function plan(work: VaeWork, spread: VaeSpread, reason: string): VaePlan {
  return { spread, reason, bytes: activationBytes(work, spread) };
}

function describe({ parallel }: VaeSpread, { worldSize }: VaeWork): string {
  return parallel ? `a band of rows on each of ${worldSize} ranks` : 'all on the first rank';
}

/** Of all ranks together: bands of one picture hold what the whole picture would, but for their borders. */
function activationBytes({ device, half, config, size }: VaeWork, { tilePixels }: VaeSpread): number {
  const factor = vaeScaleFactor(config);
  const side = (length: number) => Math.ceil(Math.min(length, tilePixels ?? length) / factor);
  const latents = { rows: side(size.rows), columns: side(size.columns) };
  const pixels = { rows: latents.rows * factor, columns: latents.columns * factor };
  const placement = { place: { rank: 0, worldSize: 1 }, slots: new SlotTable(1), tilePixels: undefined };
  return half === 'decode'
    ? decoderHalf(device, config, new WeightPlan(), latents, placement).peakBytes
    : encoderHalf(device, config, new WeightPlan(), pixels, placement).peakBytes;
}
