import { resolve } from 'node:path';
import { packageVersion } from '../base/package.js';
import { Staging } from '../base/staging.js';
import { describePicture } from '../images/parameters.js';
import type { PngText } from '../images/png.js';
import type { ResultFiles } from '../jobs/draw.js';
import { ownOptions } from '../parallel/registry.js';
import { imageCount, type OutputType } from '../pipelines/request.js';
import type { DrawPlan } from './plan-drawing.js';

/** The files that a call writes: where they end up, and where the first rank writes them. */
export class DrawOutput {
  private constructor(
    /** Of the pictures or of the latents. */
    readonly paths: readonly string[],
    private readonly staging: Staging,
    private readonly staged: readonly string[],
    private readonly stagedTrace: string | undefined,
  ) {}

  /**
   * Checks that these can be written: a file for each picture, or one for all latents; and the one of a
   * trace.
   */
  static async prepare(paths: readonly string[], trace?: string): Promise<DrawOutput> {
    const staging = new Staging();
    const staged: string[] = [];
    for (const target of paths) staged.push(await staging.add(target));
    const stagedTrace = trace === undefined ? undefined : await staging.add(resolve(trace));
    return new DrawOutput(paths, staging, staged, stagedTrace);
  }

  /** What the first rank is told to write. */
  files(plan: DrawPlan): ResultFiles {
    const latent = plan.request.outputType === 'latent';
    return {
      kind: 'files',
      images: latent ? [] : this.staged.map((path, index) => ({ path, text: describeImage(plan, index) })),
      latents: latent ? this.staged[0] : undefined,
      trace: this.stagedTrace,
    };
  }

  /** `error` as people understand it, who know only the final paths. */
  explain(error: unknown): unknown {
    return this.staging.withTargets(error);
  }

  commit(): Promise<void> {
    return this.staging.commit();
  }

  discard(): Promise<void> {
    return this.staging.discard();
  }
}

/** Of the files with what was drawn. */
export function outputExtension(outputType: OutputType): string {
  return outputType === 'latent' ? '.safetensors' : '.png';
}

/** The texts of the PNG of picture `index` of a call. */
export function describeImage(
  { model, request, parallel, topology, mode, load }: DrawPlan,
  index: number,
): PngText[] {
  const { negativePrompt, initImage } = request;
  const prompt = Math.floor(index / request.numImagesPerPrompt);
  const picture = initImage?.picture;
  return describePicture({
    prompt: request.prompt[prompt] ?? '',
    negativePrompt: (negativePrompt.length === 1 ? negativePrompt[0] : negativePrompt[prompt]) ?? '',
    model,
    variant: load.variant,
    seed: request.seed,
    rng: request.rng,
    batch: { index, size: imageCount(request), imagesPerPrompt: request.numImagesPerPrompt },
    steps: request.numInferenceSteps,
    scheduler: request.scheduler,
    eta: request.eta,
    guidanceScale: request.guidanceScale,
    height: request.height,
    width: request.width,
    initImage: picture === undefined ? undefined : typeof picture === 'string' ? picture : 'given as bytes',
    strength: initImage?.strength,
    family: request.familyOptions,
    tiles: load.vae.tilePixels,
    ranks: topology.worldSize,
    threads: load.threads,
    dtype: load.device.dtype,
    engine: load.device.engine,
    parallel: ownOptions(parallel),
    mode,
    version: packageVersion(),
  });
}
