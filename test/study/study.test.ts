import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkClaims } from '../../bench/study/claims.js';
import {
  hasWarmup,
  parallelOptions,
  type Setting,
  settingName,
  studyGrid,
  studyModes,
  transformerModes,
} from '../../bench/study/grid.js';
import {
  compareSettings,
  type Likeness,
  meanLikeness,
  relativeDifference,
} from '../../bench/study/likeness.js';
import { plotModes, plotRanks } from '../../bench/study/plots.js';

const RANKS = [2, 4];
const WARMUPS = [0, 4];
const grid = studyGrid(RANKS, WARMUPS);

/** Each setting's pictures are 40, 41, … dB, less what `loss` says. */
function psnr(loss: (setting: Setting, picture: number) => number): Likeness {
  const perPicture = new Map(
    grid.map((setting) => [
      settingName(setting),
      Array.from({ length: 8 }, (_, picture) => 40 + picture - loss(setting, picture)),
    ]),
  );
  return { name: 'PSNR', unit: 'dB', better: 'higher', digits: 2, perPicture };
}

/** As in the paper: modes from best to worst, more ranks are worse, more warm-up is better. */
function paperLoss({ mode, ranks, warmupSteps = 0 }: Setting, picture: number): number {
  return 3 * studyModes.indexOf(mode) + ranks / 2 - warmupSteps / 4 + 0.1 * (picture % 2);
}

function verdicts(likeness: Likeness): Record<string, string> {
  const claims = checkClaims(likeness, RANKS, WARMUPS);
  return Object.fromEntries(
    claims.map(({ text, pairs }) => [text, [...new Set(pairs.map(({ verdict }) => verdict))].join()]),
  );
}

describe('the study', () => {
  it('has every mode with every number of ranks, and those with a warm-up with each', () => {
    const displaced = studyModes.filter(hasWarmup).length;
    assert.equal(grid.length, RANKS.length * (displaced * WARMUPS.length + studyModes.length - displaced));
    assert.equal(new Set(grid.map(settingName)).size, grid.length);
  });

  it('tells the ranks how to share a picture', () => {
    const told = (mode: Setting['mode']) => {
      const { parallelism, syncMode } = parallelOptions({ mode, ranks: 2, warmupSteps: 1 });
      return [parallelism, syncMode];
    };
    assert.deepEqual(told('stale_gn'), ['patch', 'stale_gn']);
    assert.deepEqual(told('patch'), ['patch', 'corrected_async_gn']);
    for (const mode of transformerModes) assert.equal(told(mode)[0], mode);
    assert.equal(studyGrid([2], [1, 4], transformerModes).length, 2 * 2 + 3);
  });

  it("measures differences of latents as a share of one rank's", () => {
    assert.equal(relativeDifference(Float32Array.of(3, 8), Float32Array.of(3, 4)), 4 / 5);
  });

  it('finds the order of the paper where it is, and its opposite where that is', () => {
    for (const [text, verdict] of Object.entries(verdicts(psnr(paperLoss))))
      assert.equal(verdict, 'yes', text);
    const opposite = psnr((setting, picture) => -paperLoss(setting, picture));
    for (const [text, verdict] of Object.entries(verdicts(opposite))) assert.equal(verdict, 'no', text);
  });

  it('leaves open what differs by less than two standard errors', () => {
    const noise = (setting: Setting, picture: number) =>
      setting.mode === 'sync_gn' ? (picture % 2) - 0.4 : 0;
    assert.equal(verdicts(psnr(noise))['sync_gn is closer than corrected_async_gn'], 'open');
  });

  it('compares pictures in pairs, whichever direction is better', () => {
    const likeness = psnr(({ mode }, picture) => (mode === 'stale_gn' ? 2 + (picture % 2) : 0));
    const [closer, than] = (['sync_gn', 'stale_gn'] as const).map(
      (mode): Setting => ({ mode, ranks: 2, warmupSteps: 0 }),
    ) as [Setting, Setting];
    // Differences of 2 and 3 dB in turns: standard deviation sqrt(8 / 7) / 2.
    const { difference, error } = compareSettings(likeness, closer, than);
    assert.equal(difference, 2.5);
    assert.ok(Math.abs(error - Math.sqrt(8 / 7) / 2 / Math.sqrt(8)) < 1e-12);
    assert.equal(compareSettings({ ...likeness, better: 'lower' }, closer, than).difference, -2.5);
  });

  it('leaves equal pictures out of the mean', () => {
    const likeness = psnr(({ mode }, picture) => (mode === 'full_sync' && picture > 0 ? -Infinity : 0));
    assert.equal(meanLikeness(likeness, { mode: 'full_sync', ranks: 2, warmupSteps: undefined }), 40);
  });

  it('draws a dot for each setting but the exact ones', () => {
    const shown = grid.filter(({ mode }) => mode !== 'full_sync');
    const naive = shown.filter(({ mode }) => mode === 'naive_patch');
    for (const plot of [plotModes, plotRanks]) {
      const svg = plot(psnr(paperLoss), grid);
      assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /);
      assert.equal(svg.match(/<circle /g)?.length, shown.length - naive.length);
      for (const warmup of WARMUPS) assert.ok(svg.includes(`>warm-up ${warmup}<`));
    }
  });
});
