import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DistriError } from '../../../src/base/errors.js';
import { RankGroup } from '../../../src/ranks/group/rank-group.js';
import { Meeting } from '../../../src/ranks/join/meeting.js';
import { Refusal } from '../../../src/ranks/refusal.js';

test('a first rank of a launcher refuses a job and does the next one', async () => {
  const launched = { launcher: 'test', rank: 0, worldSize: 1, job: `own rank ${process.pid}` };
  const meeting = await Meeting.open<number, number>(launched, async (job) => {
    if (job < 0) throw new Refusal(new DistriError('usage', `${job} is too little`));
    return 2 * job;
  });
  const group = await RankGroup.launch<number, number>(
    {
      worldSize: 1,
      entry: new URL('unused', import.meta.url),
      cpus: undefined,
      timeout: 5000,
      interruption: new AbortController().signal,
      log: () => {},
    },
    meeting,
  );
  await assert.rejects(
    group.run(-1, () => {}),
    { code: 'usage', message: '-1 is too little' },
  );
  assert.equal(group.failed, false);
  assert.deepEqual(await group.run(21, () => {}), [42]);
  await group.close();
  await meeting.close(0);
});
