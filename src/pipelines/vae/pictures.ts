import type { PictureSize } from '../../base/sizes.js';
import type { ComponentSource } from '../../checkpoint/component-source.js';
import type { Communicator } from '../../engine/addon.js';
import type { Device } from '../../engine/device.js';
import { readPicture } from '../../images/picture.js';
import { type AutoencoderKLConfig, readAutoencoderKLConfig } from '../../models/autoencoder-kl.js';
import { SlotTable } from '../../parallel/slots.js';
import type { RankContext } from '../../ranks/rank-context.js';
import type { Generator } from '../../tensor/generator.js';
import { float32, type Tensor, uint8 } from '../../tensor/tensor.js';
import type { Recorder } from '../denoise/recorder.js';
import type { Geometry } from '../geometry.js';
import { executableOptions, type LoadOptions } from '../load-options.js';
import { type Part, Unfinished } from '../part-cache.js';
import type { InitImage } from '../request.js';
import { LatentDecoder, unscaledLatents } from './decoder.js';
import { fromPixels, LatentEncoder, sampleLatents, scaleLatents } from './encoder.js';
import { onlyRankPlacement, placeVae } from './placement.js';

/** What of the VAE pictures of a request need. */
export interface VaeNeeds {
  readonly decodes: boolean;
  readonly encodes: boolean;
}

/**
 * A checkpoint's VAE on this rank, for pictures of one size: latents to pictures, and the picture to begin
 * with to latents.
 */
export class PictureVae implements Part {
  readonly #config: AutoencoderKLConfig;
  readonly #geometry: Geometry;
  /** On ranks that take part in encoding a picture. */
  readonly #encoder: LatentEncoder | undefined;
  /** On ranks that take part in decoding. */
  readonly #decoder: LatentDecoder | undefined;
  readonly #communicator: Communicator | undefined;

  private constructor(
    config: AutoencoderKLConfig,
    geometry: Geometry,
    encoder: LatentEncoder | undefined,
    decoder: LatentDecoder | undefined,
    communicator: Communicator | undefined,
  ) {
    this.#config = config;
    this.#geometry = geometry;
    this.#encoder = encoder;
    this.#decoder = decoder;
    this.#communicator = communicator;
  }

  /** Builds and loads what is needed; ranks that share the work meet. */
  static async load(
    device: Device,
    source: ComponentSource,
    geometry: Geometry,
    needs: VaeNeeds,
    load: LoadOptions,
    ranks: RankContext,
  ): Promise<PictureVae> {
    const config = readAutoencoderKLConfig(await source.config('vae'));
    const slots = new SlotTable(ranks.worldSize);
    const placement = placeVae(load.vae, ranks, slots);
    const encoder = needs.encodes
      ? await prepareEncoder(device, source, config, geometry.decoded, load, ranks, slots)
      : undefined;
    const decoder =
      placement && needs.decodes
        ? await LatentDecoder.prepare(device, source, config, geometry.latent, placement)
        : undefined;
    return Unfinished.run(async (unfinished) => {
      const shared = load.vae.parallel && ranks.worldSize > 1;
      const communicator = shared ? await ranks.connect('vae', slots.specs) : undefined;
      if (communicator) await unfinished.add(Promise.resolve({ release: () => communicator.close() }));
      const options = { ...executableOptions(load, ranks), communicator };
      for (const half of [encoder, decoder]) {
        if (!half) continue;
        await unfinished.add(Promise.resolve(half));
        await half.load(options);
      }
      return new PictureVae(config, geometry, encoder, decoder, communicator);
    });
  }

  /** What the VAE's decoder is given of latents. */
  inputOf(latents: Tensor<'float32'>): Tensor<'float32'> {
    return unscaledLatents(latents, this.#config);
  }

  /** latents `[images, …]`, on every rank -> `[images, 3, height, width]`, about -1…1, on the first rank. */
  async decode(latents: Tensor<'float32'>): Promise<Tensor<'float32'> | undefined> {
    return this.#decoder?.decode(latents);
  }

  /**
   * A sample of a picture's latents `[1, …]`: on the first rank, zeros to be overwritten by it on the others.
   */
  async encode({ picture }: InitImage, generator: Generator, record: Recorder): Promise<Tensor<'float32'>> {
    const { latent, decoded } = this.#geometry;
    const noise = generator.randn([1, this.#config.latentChannels, latent.rows, latent.columns]);
    record('posterior_noise', () => noise);
    if (!this.#encoder) return float32(noise.shape);
    const pixels = await readPicture(picture, decoded);
    const distribution = await this.#encoder.encode(fromPixels(pixels));
    if (!distribution) return float32(noise.shape);
    record('init_image_uint8', () => uint8(pixels.shape.slice(1), pixels.data));
    record('posterior_mean', () => distribution.mean);
    record('posterior_logvar', () => distribution.logvar);
    return scaleLatents(sampleLatents(distribution, noise), this.#config);
  }

  release(): void {
    this.#encoder?.release();
    this.#decoder?.release();
    this.#communicator?.close();
  }
}

/**
 * The encoder of the picture to begin with: in tiles as the VAE is placed, or else whole on the first rank,
 * whatever the number of ranks, so that all of them begin as diffusers does.
 */
async function prepareEncoder(
  device: Device,
  source: ComponentSource,
  config: AutoencoderKLConfig,
  size: PictureSize,
  load: LoadOptions,
  ranks: RankContext,
  slots: SlotTable,
): Promise<LatentEncoder | undefined> {
  const placement = placeVae(load.vae, ranks, slots);
  if (placement?.tilePixels !== undefined) {
    return LatentEncoder.prepare(device, source, config, size, placement);
  }
  if (ranks.rank > 0) return undefined;
  return LatentEncoder.prepare(device, source, config, size, onlyRankPlacement(), 'torch');
}
