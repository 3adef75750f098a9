import type { PictureSize } from '../base/sizes.js';
import type { CommunicatorStatistics } from '../engine/addon.js';
import type { NoiseModel } from '../models/noise-model.js';
import type { ProgressListener } from '../ranks/progress.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Conditioner } from './conditioning.js';
import type { ImageEncoder, LatentLoop } from './denoise/loop.js';
import { type Recorder, recordPacked } from './denoise/recorder.js';
import type { Geometry } from './geometry.js';
import type { Generation, GenerationRequest } from './request.js';
import { toPixels } from './vae/decoder.js';
import type { PictureVae } from './vae/pictures.js';
import { resizeAndCrop } from './vae/resize-and-crop.js';

/** What a pipeline is made of on one rank. */
export interface PipelineParts {
  readonly geometry: Geometry;
  readonly conditioner: Conditioner;
  readonly loop: LatentLoop;
  readonly model: Pick<NoiseModel, 'packed'>;
  /** Undefined where a request needs none. */
  readonly vae: PictureVae | undefined;
  /** This rank is the one that has images and a trace. */
  readonly first: boolean;
}

/**
 * Text to image, as diffusers' pipelines: encode prompt, prepare latents, denoise, decode. Every rank runs
 * the same calls on the same latents; what differs is the share of the models that it computes. What a family
 * makes of it is its conditioner.
 */
export class LatentPipeline {
  readonly #parts: PipelineParts;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
  }

  async generate(request: GenerationRequest, listener: ProgressListener): Promise<Generation> {
    const { conditioner, loop, geometry, first } = this.#parts;
    const trace: Record<string, Tensor> = {};
    const record: Recorder = (name, make) => {
      if (request.trace && first) trace[name] = make();
    };
    if (conditioner.encodesText) listener.phase('text', 'start');
    const { topology, role, communicator } = loop;
    const context = { topology, role, communicator, geometry, record, listener };
    await loop.begin(await conditioner.inputs(request, context));
    if (conditioner.encodesText) listener.phase('text', 'end');

    const latents = await loop.run(request, listener, record, this.#imageEncoder(request, record));
    recordPacked(record, this.#parts.model)('final_latents', () => latents);

    const images = await this.#decode(latents, request, listener, record);
    return { latents, ...(images ? { images } : {}), ...(request.trace && first ? { trace } : {}) };
  }

  /** What this rank has exchanged with its peers so far to denoise; undefined where there are none. */
  statistics(): CommunicatorStatistics | undefined {
    return this.#parts.loop.communicator?.statistics();
  }

  /** Draws a sample of the latents of the request's picture, the same on all ranks. */
  #imageEncoder({ initImage }: GenerationRequest, record: Recorder): ImageEncoder | undefined {
    const { vae, loop } = this.#parts;
    if (initImage === undefined || !vae) return undefined;
    return async (generator) => {
      const latents = await vae.encode(initImage, generator, record);
      await loop.communicator?.broadcast(latents.data, 0);
      return latents;
    };
  }

  async #decode(
    latents: Tensor<'float32'>,
    { height, width, outputType }: PictureSize & Pick<GenerationRequest, 'outputType'>,
    listener: ProgressListener,
    record: Recorder,
  ): Promise<Tensor<'uint8'> | undefined> {
    const { vae } = this.#parts;
    if (!vae || outputType === 'latent') return undefined;
    listener.phase('decode', 'start');
    record('vae_input', () => vae.inputOf(latents));
    const decoded = await vae.decode(latents);
    const images = decoded ? toPixels(resizeAndCrop(decoded, { height, width })) : undefined;
    if (decoded && images) {
      record('decoded', () => decoded);
      record('image_uint8', () => images);
    }
    listener.phase('decode', 'end');
    return images;
  }
}
