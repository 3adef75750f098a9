import { resolve } from 'node:path';
import { packageVersion } from '../base/package.js';
import { Staging } from '../base/staging.js';
import type { DrawOptions } from '../commands/options/draw.js';
import { describeMode } from '../commands/output/summary.js';
import type { DrawPlan, Subject } from '../families/draw-plan.js';
import { describePicture } from '../images/parameters.js';
import type { JobFiles } from '../jobs/draw.js';
import { chooseOutputPath, numberedPaths } from './output-paths.js';

/** The files that a run writes: where they end up, and where the first rank writes them. */
export class DrawOutput {
  private constructor(
    /** Of the pictures or of the latents. */
    readonly paths: readonly string[],
    private readonly staging: Staging,
    private readonly staged: readonly string[],
    private readonly stagedTrace: string | undefined,
  ) {}

  /** Chooses the paths and checks that they can be written. */
  static prepare(options: DrawOptions, subject: Subject): Promise<DrawOutput> {
    const path = chooseOutputPath(options.output_path, subject.prompts[0] ?? '', outputExtension(options));
    return DrawOutput.at(path, options, subject);
  }

  /** Checks that `path` can be written, or numbered paths like it where there are several pictures. */
  static async at(path: string, options: DrawOptions, subject: Subject): Promise<DrawOutput> {
    const count = subject.prompts.length * options.num_images_per_prompt;
    const paths = options.output_type === 'latent' ? [path] : numberedPaths(path, count);
    const staging = new Staging();
    const staged: string[] = [];
    for (const target of paths) staged.push(await staging.add(target));
    const trace = options.trace === undefined ? undefined : await staging.add(resolve(options.trace));
    return new DrawOutput(paths, staging, staged, trace);
  }

  /** What the first rank is told to write. */
  files(subject: Subject, plan: DrawPlan): JobFiles {
    const latent = plan.request.outputType === 'latent';
    return {
      images: latent
        ? []
        : this.staged.map((path, index) => ({ path, text: describeImage(subject, plan, index) })),
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
export function outputExtension({ output_type }: DrawOptions): string {
  return output_type === 'latent' ? '.safetensors' : '.png';
}

/** The texts of the PNG of picture `index` of a run. */
export function describeImage(
  subject: Subject,
  { request, steps, parallel, topology }: DrawPlan,
  index: number,
) {
  const { negativePrompt, numInferenceSteps } = request;
  const prompt = Math.floor(index / request.numImagesPerPrompt);
  return describePicture({
    prompt: request.prompt[prompt] ?? '',
    negativePrompt: (negativePrompt.length === 1 ? negativePrompt[0] : negativePrompt[prompt]) ?? '',
    model: subject.name,
    seed: request.seed,
    rng: request.rng,
    steps: numInferenceSteps,
    scheduler: request.scheduler,
    guidanceScale: request.guidanceScale,
    height: request.height,
    width: request.width,
    ranks: topology.worldSize,
    mode: describeMode(topology, parallel, steps),
    version: packageVersion(),
  });
}
