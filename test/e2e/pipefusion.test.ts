import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { chooseDevice } from '../../src/engine/device.js';
import type { StageOptions } from '../../src/parallel/strategies/stage-plan.js';
import { guidedNoise } from '../../src/pipelines/denoise/guided-noise.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';
import { DenoisingRanks, type Trace } from '../support/denoising-ranks.js';
import { withEngines } from '../support/engines.js';
import { assertClose, difference } from '../support/golden.js';
import {
  openPipeFusion,
  type PipeFusionCase,
  pipeFusionCases,
  pipeFusionRequest,
} from '../support/pipefusion-ranks.js';
import { parallelOf } from '../support/requests.js';

/**
 * What another implementation in float32 may differ by, relative to the largest magnitude; mistakes differ by
 * 2e-4 and more.
 */
const TOLERANCE = 6e-6;

const cases = await pipeFusionCases();

/** What the reference calls a noise prediction: after guidance, without the learned variance. */
function predictedNoise(trace: Trace, name: string, golden: PipeFusionCase, like: Tensor) {
  const predicted = trace.get(name) as Tensor<'float32'>;
  return float32(
    like.shape,
    guidedNoise(predicted, like.shape, golden.guidance ? golden.guidance_scale : undefined),
  );
}

async function compare(trace: Trace, golden: PipeFusionCase): Promise<void> {
  const file = await openPipeFusion(golden);
  const names = [...file.tensors.keys()].filter((name) =>
    /^(init_noise|latents_|noise_pred_|final_latents)/.test(name),
  );
  assert.ok(names.includes('final_latents'));
  for (const name of names) {
    const wanted = await file.read(name);
    const actual = name.startsWith('noise_pred_')
      ? predictedNoise(trace, name, golden, wanted)
      : (trace.get(name) as Tensor);
    const tolerance = name === 'init_noise' ? { absolute: 5e-6 } : { relative: TOLERANCE };
    assertClose(actual, wanted, tolerance, `${golden.id}: ${name}`);
  }
}

function pipeFusion(warmupSteps: number, options: StageOptions, splitBatch = false) {
  return parallelOf('pipefusion', { warmupSteps, splitBatch, ...options });
}

/** By PipeFusion in the reference's number of patches. */
function asReference({ warmup_steps, num_patches }: PipeFusionCase) {
  return pipeFusion(warmup_steps, { numPipelinePatch: num_patches });
}

const byId = (id: string): PipeFusionCase => cases.find((item) => item.id === id) as PipeFusionCase;

function sameBits(a: Trace, b: Trace, names: readonly string[]): void {
  for (const name of names) {
    const { worst } = difference(a.get(name) as Tensor, b.get(name) as Tensor);
    assert.equal(worst, 0, `${name} differs`);
  }
}

describe('two stages compute what the reference computes', () => {
  let ranks: DenoisingRanks;
  before(async () => {
    ranks = await DenoisingRanks.launch(2);
  });
  after(() => ranks.close());

  for (const [golden, engine] of withEngines(cases)) {
    it(`${golden.id}, by ${engine}`, async () => {
      const device = chooseDevice({ engine, dtype: 'fp32' }, 'narrow');
      const { trace } = await ranks.draw(golden, asReference(golden), pipeFusionRequest(golden), { device });
      await compare(trace, golden);
    });
  }

  it('and a second picture does not see what was kept of the first', async () => {
    for (const id of ['pf_m4_w1_dpm', 'pf_m4_w0_dpm']) {
      const golden = byId(id);
      const [parallel, request] = [asReference(golden), pipeFusionRequest(golden)];
      const once = await ranks.draw(golden, parallel, request);
      const again = await ranks.draw(golden, parallel, request, { times: 2 });
      sameBits(once.trace, again.trace, ['latents_000', 'latents_001', 'final_latents']);
    }
  });
});

it('each of four stages makes of each part what the reference passes on', async () => {
  const golden = byId('trace_m4_w1_dpm');
  const file = await openPipeFusion(golden);
  const names = [...file.tensors.keys()].filter((name) => name.startsWith('out/'));
  assert.ok(names.length >= 18);
  const ranks = await DenoisingRanks.launch(4);
  try {
    const stages = await ranks.drawStages(golden, asReference(golden), pipeFusionRequest(golden));
    // Rows of patches: latents of 16 rows, two to a patch, in four bands.
    for (const name of names) {
      const [, step, stage, part = ''] =
        name.match(/^out\/(step_\d)\/stage_(\d)\/(?:patch_(\d)|whole)$/) ?? [];
      const actual = stages[Number(stage)]?.get(`${step}/from_row_${2 * Number(part)}`);
      assertClose(actual, await file.read(name), { relative: TOLERANCE }, name);
    }
  } finally {
    await ranks.close();
  }
});

/** Numbers of ranks with the ways to use them that must not change a bit of a picture in four patches. */
const pipelines: readonly [ranks: number, pipeline: StageOptions, splitBatch: boolean][] = [
  [1, {}, false],
  [2, {}, true],
  [2, { attnLayerNumForPp: [1, 7] }, false],
  [3, {}, false],
  [4, {}, false],
  [4, { attnLayerNumForPp: [1, 2, 4, 1] }, false],
  [4, {}, true],
  [8, {}, false],
];

describe('the number of stages, their layers and a split batch change no bit', () => {
  const golden = byId('pf_m4_w1_dpm');
  const drawn: Trace[] = [];
  for (const [worldSize, pipeline, splitBatch] of pipelines) {
    const layers = pipeline.attnLayerNumForPp ? ` with layers ${pipeline.attnLayerNumForPp}` : '';
    it(`${worldSize} ranks${layers}${splitBatch ? ', batch split' : ''}`, async () => {
      const ranks = await DenoisingRanks.launch(worldSize);
      try {
        const parallel = pipeFusion(golden.warmup_steps, { ...pipeline, numPipelinePatch: 4 }, splitBatch);
        const { trace } = await ranks.draw(golden, parallel, pipeFusionRequest(golden));
        await compare(trace, golden);
        drawn.push(trace);
        sameBits(trace, drawn[0] as Trace, ['latents_001', 'noise_pred_002', 'final_latents']);
      } finally {
        await ranks.close();
      }
    });
  }
});

describe('ranks that share a stage', () => {
  let single: DenoisingRanks;
  before(async () => {
    single = await DenoisingRanks.launch(1);
  });
  after(() => single.close());

  for (const [worldSize, sequence, splitBatch, id] of [
    [2, 2, false, 'pf_m4_w1_dpm'],
    [4, 2, false, 'pf_m4_w1_dpm'],
    [8, 2, true, 'pf_m4_w1_dpm'],
    [4, 4, false, 'pf_m4_w1_dpm'],
    [4, 2, false, 'pf_m8_w2_euler'],
    [4, 2, false, 'pf_m4_w0_dpm'],
  ] as const) {
    it(`${worldSize} ranks, ${sequence} to a stage${splitBatch ? ', batch split' : ''}: ${id}`, async () => {
      const golden = byId(id);
      const ranks = await DenoisingRanks.launch(worldSize);
      try {
        const request = pipeFusionRequest(golden);
        const shared = { ...asReference(golden), sequenceDegree: sequence, splitBatch };
        const { trace } = await ranks.draw(golden, shared, request);
        await compare(trace, golden);
        const alone = await single.draw(golden, asReference(golden), request);
        sameBits(trace, alone.trace, ['final_latents']);
      } finally {
        await ranks.close();
      }
    });
  }
});

describe('one patch', () => {
  it('is the picture of one rank without a pipeline, to the bit', async () => {
    const golden = byId('pf_m4_w1_dpm');
    const alone = await DenoisingRanks.launch(1);
    const pipeline = await DenoisingRanks.launch(3);
    try {
      const request = pipeFusionRequest(golden);
      const plain = await alone.draw(golden, parallelOf('patch'), request);
      const names = ['latents_000', 'noise_pred_002', 'final_latents'];
      for (const warmupSteps of [0, 1]) {
        const one = await pipeline.draw(golden, pipeFusion(warmupSteps, { numPipelinePatch: 1 }), request);
        sameBits(plain.trace, one.trace, names);
      }
      // As many synchronous steps as steps: no pipeline either.
      const synchronous = await pipeline.draw(
        golden,
        pipeFusion(golden.num_inference_steps, { numPipelinePatch: 4 }),
        request,
      );
      sameBits(plain.trace, synchronous.trace, names);
    } finally {
      await alone.close();
      await pipeline.close();
    }
  });
});

describe('fresh noise', () => {
  it('is drawn for the whole picture: ddim with eta does not depend on the bands in warm-up steps', async () => {
    const golden = byId('pf_m2_w1_ddim');
    const ranks = await DenoisingRanks.launch(2);
    try {
      const request = { ...pipeFusionRequest(golden), eta: 0.5, numInferenceSteps: 4 };
      const plain = await ranks.draw(golden, pipeFusion(4, { numPipelinePatch: 1 }), request);
      const bands = await ranks.draw(golden, pipeFusion(3, { numPipelinePatch: 4 }), request);
      sameBits(plain.trace, bands.trace, ['latents_002']);
      // Stale by one step only in the last one, and with the same noise.
      const { worst, magnitude } = difference(
        bands.trace.get('final_latents') as Tensor,
        plain.trace.get('final_latents') as Tensor,
      );
      assert.ok(worst > 0 && worst < 0.1 * magnitude, `differs by ${worst} of ${magnitude}`);
    } finally {
      await ranks.close();
    }
  });
});

/** Bytes of hidden states [2, 256, 96] and of latents [1, 4, 32, 32]. */
const HIDDEN = 4 * 2 * 256 * 96;
const LATENTS = 4 * 4 * 32 * 32;

describe('what is sent', () => {
  it('is one hidden state per link and step, and the latents back but for the last step', async () => {
    const golden = byId('pf_m4_w1_dpm');
    const ranks = await DenoisingRanks.launch(3);
    try {
      const request = { ...pipeFusionRequest(golden), trace: false };
      const steps = golden.num_inference_steps;
      const { reports } = await ranks.draw(golden, pipeFusion(1, { numPipelinePatch: 4 }), request);
      // The last rank broadcasts the result.
      assert.deepEqual(
        reports.map(({ published }) => published),
        [steps * HIDDEN, steps * HIDDEN, (steps - 1) * LATENTS + LATENTS],
      );
    } finally {
      await ranks.close();
    }
  });
});
