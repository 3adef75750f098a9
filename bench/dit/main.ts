/**
 * What each way to share a transformer costs on N ranks of this machine: bytes sent in a step, measured and by formula, how long a rank waited for them,
 * and what a rank holds. Prints the table of docs/parallelism.md.
 *
 *   node dist/bench/dit/main.js [--model pixart-mid] [--size 256] [--ranks 4] [--steps 6]
 */

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { mean } from '../../src/base/numbers.js';
import { readArchitecture } from '../../src/families/architectures.js';
import { CAPTION_TOKENS } from '../../src/families/pixart-alpha.js';
import { prepareRandomModel } from '../../src/families/random-model.js';
import type { GenerationJob, JobReport } from '../../src/jobs/draw.js';
import { type BlockStructure, type NoiseModel, pixArtModel } from '../../src/models/noise-model.js';
import { readPixArtTransformer2DConfig } from '../../src/models/pixart-transformer-2d.js';
import type { GenerationRequest, ParallelOptions } from '../../src/pipelines/request.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import { type RankMemory, rankMemory } from './memory.js';
import { strategies, type Traffic } from './strategies.js';

/** Per rank and step, the mean over ranks and over the steps between the first two and the last. */
interface Measured {
  readonly bytes: number;
  readonly waited: number;
  readonly step: number;
}

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'pixart-mid' },
    size: { type: 'string', default: '256' },
    ranks: { type: 'string', default: '4' },
    steps: { type: 'string', default: '6' },
  },
});
const [size, ranks, steps] = [Number(values.size), Number(values.ranks), Number(values.steps)];
const config = await readArchitecture(values.model, 'PixArtTransformer2DModel');
const directory = await prepareRandomModel(values.model, config);
const model = pixArtModel(readPixArtTransformer2DConfig(config)) as NoiseModel & { blocks: BlockStructure };
const shape = { batch: 2, rows: size / 8, columns: size / 8, textTokens: CAPTION_TOKENS };

function trafficOf(): Traffic {
  const { patchSize, features, layers, outChannels } = model.blocks;
  const latents = shape.rows * shape.columns;
  return {
    ranks,
    layers,
    hidden: (4 * shape.batch * latents * features) / patchSize ** 2,
    output: 4 * shape.batch * latents * outChannels,
    latents: 4 * latents * model.inChannels,
  };
}

async function measure(
  group: RankGroup<GenerationJob, JobReport>,
  parallel: ParallelOptions,
): Promise<Measured> {
  const load = {
    directory,
    variant: undefined,
    weights: 'shared',
    threads: 1,
    pipelineClass: 'PixArtAlphaPipeline',
    randomWeights: true,
  } as const;
  const files = { images: [], latents: undefined, trace: undefined };
  const reports = await group.run({ load, request: request(), parallel, files }, () => {});
  const late = reports.flatMap(({ exchanges }) => exchanges.slice(2, -1));
  const times = reports.flatMap(({ timings }) => timings.steps.slice(2, -1));
  return {
    bytes: mean(late.map(({ bytesFetched }) => bytesFetched)),
    waited: mean(late.map(({ waited }) => waited)),
    step: mean(times),
  };
}

function request(): GenerationRequest {
  return {
    prompt: [''],
    negativePrompt: [],
    height: size,
    width: size,
    numInferenceSteps: steps,
    guidanceScale: 4.5,
    eta: 0,
    numImagesPerPrompt: 1,
    scheduler: 'dpm-solver',
    seed: 1n,
    rng: 'cpu',
    outputType: 'latent',
    trace: false,
  };
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}

function memoryCells({ parameters, activations, buffers }: RankMemory): string[] {
  return [parameters, activations, buffers].map(megabytes);
}

const traffic = trafficOf();
console.log(
  `${values.model}, ${size} px, ${ranks} ranks with a thread each on ${availableParallelism()} CPUs, whole batch; p hs = ${megabytes(traffic.hidden)} MB, L = ${traffic.layers}; MB`,
);
console.log(
  '| | paper | exact, in p hs | by formula | measured | off | waited / step | parameters | activations | buffers |',
);
console.log('|---|---|---|---|---|---|---|---|---|---|');
const group = await RankGroup.launch<GenerationJob, JobReport>({
  worldSize: ranks,
  entry: new URL('../../src/jobs/rank.js', import.meta.url),
  cpus: undefined,
  timeout: 60_000,
  interruption: new AbortController().signal,
  log: (rank, line) => process.stderr.write(`rank ${rank}: ${line}\n`),
});
try {
  for (const { name, parallel, paper, exact, bytes } of strategies(ranks)) {
    const measured = await measure(group, parallel);
    const expected = bytes(traffic);
    const cells = [
      name,
      paper,
      exact,
      megabytes(expected),
      megabytes(measured.bytes),
      `${(100 * (measured.bytes / expected - 1)).toFixed(1)} %`,
      `${measured.waited.toFixed(0)} of ${measured.step.toFixed(0)} ms`,
      ...memoryCells(rankMemory(model, shape, ranks, parallel)),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
} finally {
  await group.close();
}
