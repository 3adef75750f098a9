import type { ComponentSource } from '../checkpoint/component-source.js';
import { openDevice } from '../engine/device.js';
import type { ParallelOptions } from '../parallel/registry.js';
import { planTopology } from '../parallel/topology.js';
import { loadLoop } from '../pipelines/denoise/load-loop.js';
import type { Geometry } from '../pipelines/geometry.js';
import { LatentPipeline } from '../pipelines/latent-pipeline.js';
import { executableOptions, type LoadOptions } from '../pipelines/load-options.js';
import type { PartCache } from '../pipelines/part-cache.js';
import { type GenerationRequest, guidanceOf, imageCount } from '../pipelines/request.js';
import { PictureVae } from '../pipelines/vae/pictures.js';
import type { ProgressListener } from '../ranks/progress.js';
import type { RankContext } from '../ranks/rank-context.js';
import { refusing } from '../ranks/refusal.js';
import type { Family, Outline } from './family.js';
import { openCheckpoint } from './open-checkpoint.js';
import { familyNamed } from './registry.js';
import { openSynthetic } from './synthetic.js';

/** What a rank draws with, and how the ranks share it. */
export interface PipelineSpec {
  readonly load: LoadOptions;
  readonly parallel: ParallelOptions;
  readonly request: GenerationRequest;
}

/**
 * A pipeline for requests of this one's size, number of images and guidance, of parts that are in the cache
 * or are loaded into it: text encoders, noise model and VAE each by what it depends on. All ranks make the
 * same calls; waits for the others.
 */
export async function loadPipeline(
  { load, parallel, request }: PipelineSpec,
  ranks: RankContext,
  cache: PartCache,
  listener: ProgressListener,
): Promise<LatentPipeline> {
  const loading = new Loading(listener);
  const family = familyNamed(load.family);
  const device = openDevice(load.device);
  const { source, outline, geometry } = await refusing(() => lookAt(family, load, request));
  const first = ranks.rank === 0;
  const { directory, variant, synthetic, weights, threads } = load;
  const common = { directory, variant, synthetic, device: load.device, weights, threads };

  const { latent, textTokens } = geometry;
  const conditioner = await cache.get('text', { ...common, textTokens }, () => {
    loading.begin();
    return synthetic
      ? family.synthetic.conditioner(source, geometry)
      : family.conditioner(device, source, first, executableOptions(load, ranks), geometry);
  });
  const guided = guidanceOf(request) !== undefined;
  const images = imageCount(request);
  const topology = planTopology({ worldSize: ranks.worldSize, guided, splitBatch: parallel.splitBatch });
  const loopKey = { ...common, profile: load.profile, parallel, latent, textTokens, images, guided };
  const loop = await cache.get('denoiser', loopKey, async () => {
    loading.begin();
    return loadLoop(request, {
      device,
      model: outline.model,
      weights: await source.weights(outline.model.component, { types: device.weightTypes }),
      scheduler: await source.config('scheduler'),
      load,
      ranks,
      topology,
      parallel,
      latent,
      textTokens,
      images,
    });
  });
  const needs = { decodes: request.outputType !== 'latent', encodes: request.initImage !== undefined };
  const vae =
    synthetic || !(needs.decodes || needs.encodes)
      ? undefined
      : await cache.get('vae', { ...common, vae: load.vae, geometry, needs }, () => {
          loading.begin();
          return PictureVae.load(device, source, geometry, needs, load, ranks);
        });
  loading.end();
  return new LatentPipeline({ geometry, conditioner, loop, model: outline.model, vae, first });
}

/** The phase of loading, which there is only where something is not there yet. */
class Loading {
  readonly #listener: ProgressListener;
  #begun = false;

  constructor(listener: ProgressListener) {
    this.#listener = listener;
  }

  begin(): void {
    if (!this.#begun) this.#listener.phase('load', 'start');
    this.#begun = true;
  }

  end(): void {
    if (this.#begun) this.#listener.phase('load', 'end');
  }
}

/** What configs say. */
async function lookAt(
  family: Family,
  load: LoadOptions,
  { height, width, familyOptions }: GenerationRequest,
): Promise<{ source: ComponentSource; outline: Outline; geometry: Geometry }> {
  const source = await openSource(load, family);
  const outline = await family.outline(source);
  return { source, outline, geometry: family.geometry(outline, { height, width }, familyOptions) };
}

function openSource(
  { synthetic, directory, variant }: LoadOptions,
  family: Family,
): Promise<ComponentSource> {
  return synthetic
    ? Promise.resolve(openSynthetic(directory, family))
    : openCheckpoint(directory, { variant });
}
