import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { macsLines, macsReport, referenceLines } from '../../src/commands/output/macs.js';
import { strategiesFor } from '../../src/parallel/registry.js';
import { comparedRankCounts } from '../../src/planning/choices.js';
import {
  forwardMacs,
  type MacsProfile,
  pictureMacs,
  profileMacs,
  totalMacs,
} from '../../src/planning/macs.js';
import { plannedPicture } from '../support/planned.js';

const STEPS = 50;

async function profile(
  architecture: string,
  [height, width = height]: readonly [number, number?],
  ranks: number,
): Promise<MacsProfile> {
  const image = await plannedPicture(architecture, { rows: height / 8, columns: width / 8 });
  return profileMacs(image, comparedRankCounts(ranks), {
    guided: true,
    allowSplit: true,
    parallelisms: strategiesFor(image.model),
    given: {},
  });
}

function ranksOf({ choices }: MacsProfile, ranks: number, parallelism: string, splitBatch: boolean) {
  const found = choices.find(
    (choice) =>
      choice.ranks === ranks && choice.parallelism === parallelism && choice.splitBatch === splitBatch,
  );
  return found?.ranksMacs ?? assert.fail(`no ${parallelism} of ${ranks} ranks`);
}

/** 10^12 multiply-accumulates of each rank as a profiler counts them, without decimals. */
function tera(profiled: ReturnType<typeof ranksOf>): string[] {
  return profiled.map((rank) => (forwardMacs(rank, STEPS) / 1e12).toFixed(0));
}

describe('multiply-accumulates of SDXL base, 50 steps with guidance, are those of the DistriFusion paper', () => {
  it('at 1024 x 1024: 338 T on one device, half on each of two', async () => {
    const counted = await profile('sdxl-base-1.0', [1024], 2);
    assert.deepEqual(tera(ranksOf(counted, 1, 'patch', false)), ['338']);
    assert.deepEqual(tera(ranksOf(counted, 2, 'patch', true)), ['169', '169']);
  });

  it('at 1280 x 1920: 907 T on one device; on each of four 227 T, with naive patches 190 T', async () => {
    const counted = await profile('sdxl-base-1.0', [1280, 1920], 4);
    assert.deepEqual(tera(ranksOf(counted, 1, 'patch', false)), ['907']);
    assert.deepEqual(tera(ranksOf(counted, 4, 'patch', true)), ['227', '227', '227', '227']);
    assert.deepEqual(tera(ranksOf(counted, 4, 'naive_patch', false)), ['190', '190', '190', '190']);
  });
});

describe('shares of a picture', () => {
  it('add up to the whole for patches, but for the text that all ranks of a batch need', async () => {
    const counted = await profile('sdxl-mid', [512], 4);
    const [one] = ranksOf(counted, 1, 'patch', false);
    for (const splitBatch of [true, false]) {
      const ranks = ranksOf(counted, 4, 'patch', splitBatch);
      const steps = ranks.reduce((sum, rank) => sum + totalMacs(rank.step), 0);
      assert.ok(
        one && Math.abs(steps / totalMacs(one.step) - 1) < 0.01,
        `${steps} of ${totalMacs(one?.step as never)}`,
      );
      const once = ranks.reduce((sum, rank) => sum + totalMacs(rank.once), 0);
      assert.equal(once, totalMacs(one.once) * (splitBatch ? 2 : 4));
    }
  });

  it('are of the same steps and of one preparation in a picture', async () => {
    const [rank] = ranksOf(await profile('tiny-shapes', [256], 1), 1, 'patch', false);
    assert.ok(rank && totalMacs(rank.once) > 0);
    assert.equal(pictureMacs(rank, 7), 7 * totalMacs(rank.step) + totalMacs(rank.once));
    assert.equal(forwardMacs(rank, 7) - pictureMacs(rank, 7), 6 * totalMacs(rank.once));
  });

  it('are printed with the ranks that have the same in one line, and what is not possible with its reason', async () => {
    const counted = await profile('tiny-shapes', [256], 3);
    const picture = { model: 'tiny-shapes', height: 256, width: 256, steps: STEPS, guided: true };
    const text = macsLines(macsReport(picture, counted)).join('\n');
    assert.match(text, /^ {2}2 ranks, split batch +0-1 .* 50\.0 %$/m);
    assert.match(
      text,
      /^not possible: 3 ranks, patch, split batch: 3 ranks can't be halved; an even number can$/m,
    );
  });

  it('are printed as profile_macs.py prints them: of the first rank, a forward pass', async () => {
    const counted = await profile('sdxl-base-1.0', [1024], 1);
    const picture = { model: 'sdxl', height: 1024, width: 1024, steps: STEPS, guided: true };
    assert.deepEqual(referenceLines(macsReport(picture, counted)), [
      'MACs: 6761.2G (a forward pass of rank 0; 1 rank)',
    ]);
  });
});
