import type { CommunicatorStatistics } from '../engine/addon.js';
import { loadAddon } from '../engine/load.js';
import { readAutoencoderKLConfig, vaeScaleFactor } from '../models/autoencoder-kl.js';
import { readUNet2DConditionConfig, type UNet2DConditionConfig } from '../models/unet-2d-condition.js';
import type { Conditioning } from '../pipelines/conditioning.js';
import { DenoisingLoop, imageCount } from '../pipelines/denoise/step-loop.js';
import type {
  Generation,
  GenerationRequest,
  LoadOptions,
  ParallelOptions,
  Pipeline,
  ProgressListener,
} from '../pipelines/request.js';
import type { PromptEmbeds } from '../pipelines/text/prompt-embeds.js';
import type { RankContext } from '../ranks/rank-context.js';
import { TorchGenerator } from '../tensor/random-torch.js';
import { openRandomModel } from './random-model.js';

/** Of CLIP's texts. */
const TEXT_TOKENS = 77;

/** The denoising loop alone, with random weights and random embeddings instead of text encoders: for benchmarks without a checkpoint. */
export class RandomWeightsPipeline implements Pipeline {
  readonly #loop: DenoisingLoop;
  readonly #unet: UNet2DConditionConfig;

  private constructor(loop: DenoisingLoop, unet: UNet2DConditionConfig) {
    this.#loop = loop;
    this.#unet = unet;
  }

  /** `options.directory` is what `prepareRandomModel` made. Waits for the other ranks. */
  static async load(
    options: LoadOptions,
    ranks: RankContext,
    request: GenerationRequest,
    parallel: ParallelOptions,
    listener: ProgressListener,
  ): Promise<RandomWeightsPipeline> {
    listener.phase('load', 'start');
    const source = openRandomModel(options.directory);
    const unet = readUNet2DConditionConfig(await source.config('unet'));
    const factor = vaeScaleFactor(readAutoencoderKLConfig(await source.config('vae')));
    const loop = await DenoisingLoop.load(request, {
      addon: loadAddon(),
      source,
      load: options,
      ranks,
      parallel,
      latent: { rows: Math.floor(request.height / factor), columns: Math.floor(request.width / factor) },
      textTokens: TEXT_TOKENS,
    });
    listener.phase('load', 'end');
    return new RandomWeightsPipeline(loop, unet);
  }

  async generate(request: GenerationRequest, listener: ProgressListener): Promise<Generation> {
    await this.#loop.beginUNet(request, this.#randomConditioning(request), ignore);
    const latents = await this.#loop.run(request, listener, ignore);
    return { latents };
  }

  statistics(): CommunicatorStatistics | undefined {
    return this.#loop.communicator?.statistics();
  }

  async close(): Promise<void> {
    this.#loop.release();
  }

  /** The same on all ranks. */
  #randomConditioning(request: GenerationRequest): Conditioning {
    const { textTime, crossAttentionDim } = this.#unet;
    const images = imageCount(request);
    const generator = new TorchGenerator(request.seed);
    const embeds = (): PromptEmbeds => ({
      embeds: generator.randn([images, TEXT_TOKENS, crossAttentionDim]),
      pooled: textTime && generator.randn([images, textTime.inputDim - 6 * textTime.timeEmbedDim]),
    });
    return { positive: embeds(), negative: this.#loop.topology.guided ? embeds() : undefined };
  }
}

function ignore(): void {}
