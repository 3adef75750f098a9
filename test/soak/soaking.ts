import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedModel } from '../../src/base/package.js';
import type { DrawJob } from '../../src/jobs/draw.js';
import { runJob } from '../../src/jobs/jobs.js';
import type { StrategyOptions } from '../../src/parallel/registry.js';
import type { GenerationRequest } from '../../src/pipelines/request.js';
import { launchRanks } from '../support/rank-group.js';
import { loadOf, parallelOf, requestOf } from '../support/requests.js';
import { type Footprint, footprint } from './footprint.js';

const RANKS = 3;
const STEPS = 4;

/** What is held after a generation, by the parent and then by the ranks. */
export type Sample = readonly Footprint[];

export interface Variation {
  readonly size: number;
  readonly request?: Partial<GenerationRequest>;
  readonly parallel?: Partial<StrategyOptions>;
}

/** Jobs one after another that need different graphs, communicators and sizes of shared memory. */
export const variations: readonly Variation[] = [
  { size: 128 },
  { size: 256, parallel: { syncMode: 'full_sync' } },
  { size: 128, request: { guidanceScale: 1, scheduler: 'euler' } },
  { size: 192, parallel: { syncMode: 'stale_gn', warmupSteps: 0 }, request: { outputType: 'latent' } },
];

/**
 * Draws `count` pictures in one process tree and returns a sample after each. With one variation the ranks
 * keep what they have loaded; with several, taken in turn, they load it anew for every picture.
 */
export async function soak(
  count: number,
  turns: readonly Variation[],
  progress: (done: number) => void,
): Promise<Sample[]> {
  // For the ranks: the C library keeps memory for each thread that used some once, which would look like a
  // leak for long.
  process.env.MALLOC_ARENA_MAX = '1';
  const folder = await mkdtemp(join(tmpdir(), 'distri-soak-'));
  const group = await launchRanks(RANKS);
  try {
    const samples: Sample[] = [];
    for (let index = 0; index < count; index++) {
      await runJob(group, 'draw', job(turns[index % turns.length] as Variation, index, folder));
      samples.push([process.pid, ...group.pids].map((pid) => footprint(pid as number)));
      progress(index + 1);
    }
    return samples;
  } finally {
    await group.close();
    await rm(folder, { recursive: true });
  }
}

function job({ size, request = {}, parallel = {} }: Variation, index: number, folder: string): DrawJob {
  const latent = request.outputType === 'latent';
  return {
    load: loadOf('sdxl', embeddedModel),
    request: requestOf({
      prompt: [`a red ring ${index}`],
      height: size,
      width: size,
      numInferenceSteps: STEPS,
      seed: BigInt(index),
      outputType: 'pil',
      trace: false,
      ...request,
    }),
    parallel: parallelOf('patch', { splitBatch: true, warmupSteps: 1, ...parallel }),
    // The same files again and again.
    results: {
      kind: 'files',
      images: latent ? [] : [{ path: join(folder, 'x.png'), text: [] }],
      latents: latent ? join(folder, 'x.safetensors') : undefined,
      trace: undefined,
    },
  };
}
