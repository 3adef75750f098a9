import { DistriError, expected } from '../base/errors.js';
import { unlessInterrupted } from '../base/interruption.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { type Device, openDevice, referenceDevice } from '../engine/device.js';
import { openCheckpoint } from '../families/open-checkpoint.js';
import { type NamedJob, rankEntry, runJob } from '../jobs/jobs.js';
import type { VaeJob, VaeReport } from '../jobs/vae.js';
import { availableCpus, shareCpus } from '../machine/cpus.js';
import { planWeights } from '../machine/memory.js';
import { type AutoencoderKLConfig, readAutoencoderKLConfig } from '../models/autoencoder-kl.js';
import { planVae, tileUnit, type VaeMode, type VaeWork } from '../pipelines/vae/plan.js';
import { RankGroup } from '../ranks/group/rank-group.js';
import { phases } from '../ranks/progress.js';
import { modelName } from './model.js';
import { withByteProgress } from './observer.js';
import type { PipelineContext } from './pipeline.js';
import { componentBytes, prepareComponent } from './weights.js';

/** Which VAE, and on how many ranks. */
export interface VaeOptions {
  readonly model: string;
  readonly variant?: string | undefined;
  readonly revision?: string | undefined;
  readonly ranks: number;
  readonly threads?: number | undefined;
  readonly mode: VaeMode;
  /** Side of tiles in pixels. */
  readonly tileSize?: number | undefined;
  /** Seconds. */
  readonly commTimeout: number;
}

/** A checkpoint whose VAE is ready to be loaded. */
export interface OpenVae {
  readonly checkpoint: Checkpoint;
  readonly config: AutoencoderKLConfig;
  readonly device: Device;
  /** What people call it. */
  readonly name: string;
}

/** How a VAE ran on its ranks. */
export interface VaeRun {
  /** Of the first rank, in milliseconds. */
  readonly timings: VaeReport['timings'];
  /** By rank: bytes above those of the loaded VAE at the fullest moment. */
  readonly peaks: readonly number[];
}

/** Opens the checkpoint and makes its VAE's weights ready; refuses options that do not fit it. */
export function openVae(options: VaeOptions, { observer, signal }: PipelineContext): Promise<OpenVae> {
  const { model, variant, revision, tileSize, mode } = options;
  if (tileSize !== undefined && mode !== 'tiled' && mode !== 'auto') {
    throw new DistriError('usage', `--tile_size needs --vae tiled or auto, not ${mode}`);
  }
  const name = modelName(model);
  const open = async () => {
    const checkpoint = await withByteProgress(observer, `downloading ${name}`, (onProgress) =>
      openCheckpoint(model, { variant, revision, onProgress, onNote: (line) => observer.note(line) }),
    );
    const config = readAutoencoderKLConfig(await checkpoint.config('vae'));
    checkTileSize(tileSize, tileUnit(config));
    const device = openDevice();
    await prepareComponent(checkpoint, 'vae', device, observer);
    return { checkpoint, config, device, name };
  };
  return unlessInterrupted(signal, open());
}

/**
 * Runs `task` on as many ranks as have a part in it, or on all that a launcher started; says what it will do.
 */
export async function runVae(
  vae: OpenVae,
  work: Pick<VaeWork, 'half' | 'size'>,
  task: VaeJob['task'],
  options: VaeOptions,
  context: PipelineContext,
): Promise<VaeRun> {
  const { ranks: worldSize, tileSize, mode, variant } = options;
  const { device, config, checkpoint, name } = vae;
  const plan = planVae(mode, { ...work, device, config, worldSize }, tileSize);
  context.observer.note(`${name}, ${work.size.columns} x ${work.size.rows} px: ${plan.reason}`);
  const ranks = plan.spread.parallel || context.launched ? worldSize : 1;
  const cpus = (await context.launched?.cpus()) ?? availableCpus();
  const threads = options.threads ?? Math.max(1, Math.floor(cpus.count / ranks));
  const bytes = await componentBytes(checkpoint.directory, 'vae', variant, device);
  const weights = planWeights(ranks * bytes, device.freeBytes()).mode;
  const { directory } = checkpoint;
  const load = { directory, variant, device: referenceDevice, weights, threads, vae: plan.spread };
  const reports = await runOnRanks({ load, task }, ranks, options, context);
  return { timings: (reports[0] as VaeReport).timings, peaks: reports.map(({ peak }) => peak) };
}

async function runOnRanks(
  job: VaeJob,
  worldSize: number,
  { commTimeout }: VaeOptions,
  { observer, signal, launched }: PipelineContext,
): Promise<readonly VaeReport[]> {
  const progress = observer.progress(100, '%');
  try {
    progress.update(0, phases.load.label);
    const group = await RankGroup.launch<NamedJob, unknown>(
      {
        worldSize,
        entry: rankEntry,
        // Launchers place their processes themselves.
        cpus: launched ? undefined : shareCpus(availableCpus(), worldSize, job.load.threads),
        timeout: commTimeout * 1000,
        interruption: signal,
        log: (rank, line) => observer.detail(`rank ${rank}: ${line}`),
      },
      launched,
    );
    const { label } = phases[job.task.kind];
    const reports = await runJob(group, 'vae', job, (rank, event) => {
      if (rank !== 0) return;
      if (event.type === 'step') progress.update(Math.floor((100 * (event.step + 1)) / event.steps), label);
      else if (event.type === 'phase' && event.event === 'start')
        progress.update(0, phases[event.name].label);
    });
    await group.close();
    return reports;
  } finally {
    progress.stop();
  }
}

function checkTileSize(size: number | undefined, unit: number): void {
  if (size !== undefined && size % unit !== 0) throw expected(`a multiple of ${unit}`, '--tile_size', size);
}
