import { after, before, describe, it } from 'node:test';
import { chooseDevice } from '../../src/engine/device.js';
import { withEngines } from '../support/engines.js';
import {
  assertClose,
  distrifuserCases,
  distrifuserParallel,
  distrifuserRequest,
  openDistrifuser,
  tinySdxl,
  withSchedulerConfig,
} from '../support/golden.js';
import { TracingRanks } from '../support/rank-group.js';

const cases = await distrifuserCases();

for (const worldSize of [1, 2, 4, 8]) {
  describe(`${worldSize} ranks compute what distrifuser computes`, () => {
    let ranks: TracingRanks;
    before(async () => {
      ranks = await TracingRanks.launch(worldSize);
    });
    after(() => ranks.close());

    for (const [golden, engine] of withEngines(cases.filter((item) => item.world_size === worldSize))) {
      it(`${golden.id}, by ${engine}`, async () => {
        const checkpoint = await withSchedulerConfig(tinySdxl, golden.scheduler_config);
        try {
          const trace = await ranks.draw(
            checkpoint.directory,
            distrifuserRequest(golden),
            distrifuserParallel(golden),
            chooseDevice({ engine, dtype: 'fp32' }, 'narrow'),
          );
          const file = await openDistrifuser(golden.id);
          for (const name of file.tensors.keys()) {
            const tolerance = name === 'init_noise' ? { absolute: 5e-6 } : { relative: 5e-5 };
            assertClose(await trace.read(name), await file.read(name), tolerance, name);
          }
        } finally {
          await checkpoint.remove();
        }
      });
    }
  });
}
