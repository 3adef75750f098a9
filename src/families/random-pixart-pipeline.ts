import type { CommunicatorStatistics } from '../engine/addon.js';
import { loadAddon } from '../engine/load.js';
import { batchSize } from '../pipelines/conditioning.js';
import { loadLoop } from '../pipelines/denoise/load-loop.js';
import { imageCount, type LatentLoop } from '../pipelines/denoise/step-loop.js';
import type {
  Generation,
  GenerationRequest,
  LoadOptions,
  ParallelOptions,
  Pipeline,
  ProgressListener,
} from '../pipelines/request.js';
import type { RankContext } from '../ranks/rank-context.js';
import { TorchGenerator } from '../tensor/random-torch.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import { CAPTION_TOKENS, type PixArtGeometry, pixArtInputs, readGeometry } from './pixart-alpha.js';
import { openRandomModel } from './random-model.js';

/** The denoising loop of PixArt alone, with random weights and random captions of full length: for benchmarks without a checkpoint. */
export class RandomPixArtPipeline implements Pipeline {
  readonly #loop: LatentLoop;
  readonly #geometry: PixArtGeometry;

  private constructor(loop: LatentLoop, geometry: PixArtGeometry) {
    this.#loop = loop;
    this.#geometry = geometry;
  }

  /** `options.directory` is what `prepareRandomModel` made. Waits for the other ranks. */
  static async load(
    options: LoadOptions,
    ranks: RankContext,
    request: GenerationRequest,
    parallel: ParallelOptions,
    listener: ProgressListener,
  ): Promise<RandomPixArtPipeline> {
    listener.phase('load', 'start');
    const source = openRandomModel(options.directory, 'PixArtAlphaPipeline');
    const geometry = await readGeometry(source, request);
    const loop = await loadLoop(request, {
      addon: loadAddon(),
      source,
      load: options,
      ranks,
      parallel,
      latent: geometry.latent,
      textTokens: CAPTION_TOKENS,
    });
    listener.phase('load', 'end');
    return new RandomPixArtPipeline(loop, geometry);
  }

  async generate(request: GenerationRequest, listener: ProgressListener): Promise<Generation> {
    await this.#loop.begin(this.#randomInputs(request));
    const latents = await this.#loop.run(request, listener, () => {});
    return { latents };
  }

  statistics(): CommunicatorStatistics | undefined {
    return this.#loop.communicator?.statistics();
  }

  async close(): Promise<void> {
    this.#loop.release();
  }

  #randomInputs(request: GenerationRequest): Readonly<Record<string, Tensor>> {
    const { transformer } = this.#geometry;
    const rows = batchSize(imageCount(request), this.#loop.topology);
    const embeds = new TorchGenerator(request.seed).randn([
      rows,
      CAPTION_TOKENS,
      transformer.captionChannels,
    ]);
    const mask = float32([rows, CAPTION_TOKENS], new Float32Array(rows * CAPTION_TOKENS).fill(1));
    return pixArtInputs(this.#geometry, embeds, mask);
  }
}
