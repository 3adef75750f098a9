import { basename, resolve } from 'node:path';
import { DistriError, expected } from '../base/errors.js';
import { unlessInterrupted } from '../base/interruption.js';
import { bytesText, secondsText } from '../base/numbers.js';
import { embeddedModel } from '../base/package.js';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import type { VaeOptions } from '../commands/options/vae.js';
import type { Terminal } from '../commands/output/terminal.js';
import type { VaeJob, VaeReport } from '../jobs/vae.js';
import { availableCpus, shareCpus } from '../machine/cpus.js';
import { planWeights } from '../machine/memory.js';
import { type AutoencoderKLConfig, readAutoencoderKLConfig } from '../models/autoencoder-kl.js';
import { planVae, tileUnit, type VaeWork } from '../pipelines/vae/plan.js';
import { RankGroup } from '../ranks/group/rank-group.js';
import { float32Bytes, prepareWeights, withByteProgress } from './prepare-weights.js';

const rankProgram = new URL('../jobs/vae-rank.js', import.meta.url);

export interface VaeContext {
  readonly terminal: Terminal;
  /** Aborted when the user wants it to end. */
  readonly interruption: AbortSignal;
}

/** A checkpoint whose VAE is ready to be loaded. */
export interface OpenVae {
  readonly checkpoint: Checkpoint;
  readonly config: AutoencoderKLConfig;
  /** What people call it. */
  readonly name: string;
}

/** Opens the checkpoint and makes its VAE's weights ready; refuses options that do not fit it. */
export function openVae(options: VaeOptions, { terminal, interruption }: VaeContext): Promise<OpenVae> {
  if (options.tile_size !== undefined && options.vae !== 'tiled' && options.vae !== 'auto') {
    throw new DistriError('usage', `--tile_size needs --vae tiled or auto, not ${options.vae}`);
  }
  const model = options.pretrained_model_name_or_path ?? embeddedModel;
  const name = /^[./]/.test(model) ? basename(resolve(model)) : model;
  const open = async () => {
    const checkpoint = await withByteProgress(terminal, `downloading ${name}`, (onProgress) =>
      openCheckpoint(model, { variant: options.variant, revision: options.revision, onProgress }),
    );
    const config = readAutoencoderKLConfig(await checkpoint.config('vae'));
    checkTileSize(options.tile_size, tileUnit(config));
    await prepareWeights(checkpoint, ['vae'], terminal);
    return { checkpoint, config, name };
  };
  return unlessInterrupted(interruption, open());
}

/** Runs `task` on as many ranks as have a part in it; says what it will do and how long it took. */
export async function runVae(
  vae: OpenVae,
  work: Pick<VaeWork, 'half' | 'size'>,
  task: VaeJob['task'],
  options: VaeOptions,
  context: VaeContext,
): Promise<void> {
  const { nproc_per_node: worldSize, tile_size: tilePixels } = options;
  const plan = planVae(options.vae, { ...work, config: vae.config, worldSize }, tilePixels);
  context.terminal.note(`${vae.name}, ${work.size.columns} x ${work.size.rows} px: ${plan.reason}`);
  const ranks = plan.spread.parallel ? worldSize : 1;
  const threads = options.threads ?? Math.max(1, Math.floor(availableCpus().count / ranks));
  const weights = planWeights(ranks * (await float32Bytes(vae.checkpoint, 'vae', options.variant))).mode;
  const { directory } = vae.checkpoint;
  const load = { directory, variant: options.variant, weights, threads, vae: plan.spread };
  const reports = await runOnRanks({ load, task }, ranks, options, context);
  const { phases } = (reports[0] as VaeReport).timings;
  const peaks = reports.map(({ peak }) => bytesText(peak));
  const seconds = (milliseconds = 0) => secondsText(milliseconds / 1000);
  context.terminal.report(`${task.kind} ${seconds(phases[task.kind])}, loading ${seconds(phases.load)}`);
  context.terminal.detail(`memory of the ranks above that of the loaded VAE: ${peaks.join(', ')}`);
}

async function runOnRanks(
  job: VaeJob,
  worldSize: number,
  { comm_timeout }: VaeOptions,
  { terminal, interruption }: VaeContext,
): Promise<readonly VaeReport[]> {
  const progress = terminal.progress(100, '%');
  try {
    progress.update(0, 'loading');
    const group = await RankGroup.launch<VaeJob, VaeReport>({
      worldSize,
      entry: rankProgram,
      cpus: shareCpus(availableCpus(), worldSize, job.load.threads),
      timeout: comm_timeout * 1000,
      interruption,
      log: (rank, line) => terminal.detail(`rank ${rank}: ${line}`),
    });
    const label = job.task.kind === 'decode' ? 'decoding' : 'encoding';
    const reports = await group.run(job, (rank, event) => {
      if (rank !== 0) return;
      if (event.type === 'step') progress.update(Math.floor((100 * (event.step + 1)) / event.steps), label);
      else if (event.type === 'phase' && event.event === 'start' && event.name !== 'load')
        progress.update(0, label);
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
