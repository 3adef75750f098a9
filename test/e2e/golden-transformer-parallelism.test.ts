import { after, before, describe, it } from 'node:test';
import { chooseDevice } from '../../src/engine/device.js';
import type { ParallelOptions } from '../../src/parallel/registry.js';
import {
  DenoisingRanks,
  openParallel,
  type ParallelCase,
  parallelCases,
  parallelRequest,
} from '../support/denoising-ranks.js';
import { withEngines } from '../support/engines.js';
import { assertClose } from '../support/golden.js';
import { parallelOf } from '../support/requests.js';

const cases = await parallelCases('distrifusion', 'naive');

function optionsOf(golden: ParallelCase): ParallelOptions {
  const { strategy, warmup_steps = 0, mode = 'corrected_async_gn', split_scheme = 'row', positions } = golden;
  return strategy === 'distrifusion'
    ? parallelOf('patch', { syncMode: mode, warmupSteps: warmup_steps })
    : parallelOf('naive_patch', {
        splitScheme: split_scheme,
        naivePositions: positions === 'whole' ? 'whole' : 'part',
      });
}

for (const worldSize of new Set(cases.map(({ ranks = 1 }) => ranks))) {
  describe(`${worldSize} ranks compute what the reference's displaced and naive patches of PixArt are`, () => {
    let ranks: DenoisingRanks;
    before(async () => {
      ranks = await DenoisingRanks.launch(worldSize);
    });
    after(() => ranks.close());

    for (const [golden, engine] of withEngines(cases.filter((item) => item.ranks === worldSize))) {
      it(`${golden.id}, by ${engine}`, async () => {
        const device = chooseDevice({ engine, dtype: 'fp32' }, 'narrow');
        const { trace } = await ranks.draw(golden, optionsOf(golden), parallelRequest(golden), { device });
        const file = await openParallel(golden);
        for (const name of file.tensors.keys()) {
          if (name.startsWith('noise_pred')) continue;
          const tolerance = name === 'init_noise' ? { absolute: 5e-6 } : { relative: 6e-6 };
          assertClose(trace.get(name), await file.read(name), tolerance, name);
        }
      });
    }
  });
}
