import type { SettledOptions } from '../app/settle.js';
import type { GridSize } from '../base/sizes.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { transformerParallelism } from '../commands/options/transformer.js';
import { readAutoencoderKLConfig, vaeScaleFactor } from '../models/autoencoder-kl.js';
import { pixArtModel } from '../models/noise-model.js';
import {
  type PixArtTransformer2DConfig,
  readPixArtTransformer2DConfig,
} from '../models/pixart-transformer-2d.js';
import { createParallelism } from '../parallel/registry.js';
import { describeStage } from '../parallel/strategies/pipefusion.js';
import { StagePlan } from '../parallel/strategies/stage-plan.js';
import type { RankRole, Topology } from '../parallel/topology.js';
import type { ParallelOptions } from '../pipelines/request.js';
import { type DrawPlan, parallelOptions, plannedRequest, plannedSteps, type Subject } from './draw-plan.js';
import { readGeometry } from './pixart-alpha.js';

/** Fits the options to a PixArt checkpoint; what it can't do is refused here, before anything expensive. */
export async function planPixArt(
  options: SettledOptions,
  subject: Subject,
  checkpoint: Pick<Checkpoint, 'config'>,
): Promise<DrawPlan> {
  const transformer = readPixArtTransformer2DConfig(await checkpoint.config('transformer'));
  const factor = vaeScaleFactor(readAutoencoderKLConfig(await checkpoint.config('vae')));
  const native = transformer.sampleSize * factor;
  const [height = native, width = height] = options.image_size ?? [];
  const useResolutionBinning = options.no_resolution_binning !== true;
  const { latent, size } = await readGeometry(checkpoint, { height, width, useResolutionBinning });
  const { parallel: common, topology } = parallelOptions(options);
  const parallel = { ...common, ...transformerParallelism(options, options.parallelism, topology) };
  const shared = planSharing(parallel, topology, transformer, latent);
  const scheduler = await checkpoint.config('scheduler');
  const request = plannedRequest(options, subject, { height, width }, scheduler);
  return {
    request: { ...request, useResolutionBinning },
    steps: plannedSteps(request, scheduler),
    decoded: size,
    topology,
    ...shared,
  };
}

/** How the ranks share the work, with what they settle on. */
function planSharing(
  parallel: ParallelOptions,
  topology: Topology,
  transformer: PixArtTransformer2DConfig,
  latent: GridSize,
): Pick<DrawPlan, 'parallel' | 'parallelism'> {
  if (parallel.parallelism === 'pipefusion') {
    const { layers, patchSize } = transformer;
    const options = parallel.pipefusion ?? {};
    const plan = StagePlan.make({ topology, options, layers, patchRows: latent.rows / patchSize });
    const pipefusion = { ...options, patches: plan.bands.length };
    return {
      parallel: { ...parallel, pipefusion },
      parallelism: { describe: (role) => describeStage(plan, role) },
    };
  }
  const parallelism = createParallelism({
    topology,
    role: topology.roles[0] as RankRole,
    options: parallel,
    ...latent,
    halvings: pixArtModel(transformer).halvings,
    patchSize: transformer.patchSize,
  });
  return { parallel, parallelism };
}
