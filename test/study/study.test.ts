import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { describe, it } from 'node:test';
import { choiceModes, hasWarmUp, isExactMode, type Mode, strategyModes } from '../../bench/modes.js';
import { checkClaims } from '../../bench/study/claims.js';
import { type Setting, settingName, setupOf, studyGrid } from '../../bench/study/grid.js';
import {
  closestFirst,
  compareSettings,
  type Likeness,
  meanLikeness,
  relativeDifference,
} from '../../bench/study/likeness.js';
import { completeStudyOptions, studyOptions } from '../../bench/study/options.js';
import { plotModes, plotRanks } from '../../bench/study/plots.js';

const RANKS = [2, 4];
const WARMUPS = [0, 4];
const unet = { blocks: undefined };
const transformer = { blocks: { layers: 8, features: 32, patchSize: 2, outChannels: 8 } };
const modes = choiceModes(unet);
const axes = { modes, ranks: RANKS, warmups: WARMUPS };
const grid = studyGrid(modes, RANKS, WARMUPS);

/** From the best to the worst, those between which the paper says nothing in any order. */
const order = [
  'tensor',
  'patch full_sync',
  'patch sync_gn',
  'patch corrected_async_gn',
  'patch stale_gn',
  'patch separate_gn',
  'patch no_sync',
  'naive_patch alternate',
  'naive_patch row',
  'naive_patch col',
];

function mode(name: string): Mode {
  const found = modes.find((candidate) => candidate.name === name);
  assert.ok(found, name);
  return found;
}

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

/** As in the paper: more ranks are worse, more warm-up is better. */
function paperLoss({ mode: { name }, ranks, warmupSteps = 0 }: Setting, picture: number): number {
  return 3 * order.indexOf(name) + ranks / 2 - warmupSteps / 4 + 0.1 * (picture % 2);
}

function verdicts(likeness: Likeness): Record<string, string> {
  const claims = checkClaims(likeness, axes);
  return Object.fromEntries(
    claims.map(({ text, pairs }) => [text, [...new Set(pairs.map(({ verdict }) => verdict))].join()]),
  );
}

describe('the study', () => {
  it('has every mode with every number of ranks, and those with a warm-up with each', () => {
    assert.deepEqual(modes.map(({ name }) => name).toSorted(), order.toSorted());
    const warmed = modes.filter(hasWarmUp).length;
    assert.equal(grid.length, RANKS.length * (warmed * WARMUPS.length + modes.length - warmed));
    assert.equal(new Set(grid.map(settingName)).size, grid.length);
  });

  it('has every strategy that can share a transformer', () => {
    const names = strategyModes(transformer).map(({ name }) => name);
    assert.deepEqual(names, ['patch', 'tensor', 'naive_patch', 'sequence', 'pipefusion']);
    const warmed = strategyModes(transformer).filter(hasWarmUp);
    assert.deepEqual(
      warmed.map(({ name }) => name),
      ['patch', 'pipefusion'],
    );
  });

  it('knows which modes draw the picture of one rank', () => {
    const exact = modes.filter(isExactMode).map(({ name }) => name);
    assert.deepEqual(exact, ['patch full_sync', 'tensor']);
  });

  it('tells the ranks how to share a picture', () => {
    const told = setupOf({ mode: mode('patch stale_gn'), ranks: 2, warmupSteps: 1 });
    const { parallelism, syncMode, warmupSteps, ranks, splitBatch } = told;
    assert.deepEqual(
      [parallelism, syncMode, warmupSteps, ranks, splitBatch],
      ['patch', 'stale_gn', 1, 2, false],
    );
    assert.equal(
      setupOf({ mode: mode('naive_patch col'), ranks: 2, warmupSteps: undefined }).splitScheme,
      'col',
    );
  });

  it('does not write to docs/ unless asked to', () => {
    const nothing = { model: undefined, images: undefined, steps: undefined, ranks: undefined };
    const given = { ...nothing, warmups: undefined, work: undefined, fid_weights: undefined };
    const usual = { output: studyOptions.output.default, machine: 'a machine', lpips_weights: [] };
    const { output, work, ranks } = completeStudyOptions({ ...given, ...usual, of: 'unet' });
    assert.deepEqual([output, work], [resolve('results/study'), resolve('results/study/drawn')]);
    assert.deepEqual(ranks, [2, 4, 8]);
  });

  it("measures differences of latents as a share of one rank's", () => {
    assert.equal(relativeDifference(Float32Array.of(3, 8), Float32Array.of(3, 4)), 4 / 5);
  });

  it('finds the order of the paper where it is, and its opposite where that is', () => {
    const found = verdicts(psnr(paperLoss));
    assert.equal(Object.keys(found).length, 6);
    for (const [text, verdict] of Object.entries(found)) assert.equal(verdict, 'yes', text);
    const opposite = psnr((setting, picture) => -paperLoss(setting, picture));
    for (const [text, verdict] of Object.entries(verdicts(opposite))) assert.equal(verdict, 'no', text);
  });

  it('claims nothing of numbers of ranks where there is one', () => {
    const claims = checkClaims(psnr(paperLoss), { ...axes, ranks: [2] });
    assert.ok(claims.every(({ pairs }) => pairs.length > 0));
    assert.equal(claims.length, 5);
  });

  it('leaves open what differs by less than two standard errors', () => {
    const noise = (setting: Setting, picture: number) =>
      setting.mode.name === 'patch sync_gn' ? (picture % 2) - 0.4 : 0;
    const text = 'patch sync_gn is closer than patch corrected_async_gn';
    assert.equal(verdicts(psnr(noise))[text], 'open');
  });

  it('orders modes by how close they come, whichever direction is better', () => {
    const likeness = psnr(paperLoss);
    const names = (measure: Likeness) => closestFirst(measure, modes, grid).map(({ name }) => name);
    assert.deepEqual(names(likeness), order);
    assert.deepEqual(names({ ...likeness, better: 'lower' }), order.toReversed());
  });

  it('compares pictures in pairs, whichever direction is better', () => {
    const stale = mode('patch stale_gn');
    const likeness = psnr((setting, picture) => (setting.mode === stale ? 2 + (picture % 2) : 0));
    const closer: Setting = { mode: mode('patch sync_gn'), ranks: 2, warmupSteps: 0 };
    const than: Setting = { mode: stale, ranks: 2, warmupSteps: 0 };
    // Differences of 2 and 3 dB in turns: standard deviation sqrt(8 / 7) / 2.
    const { difference, error } = compareSettings(likeness, closer, than);
    assert.equal(difference, 2.5);
    assert.ok(Math.abs(error - Math.sqrt(8 / 7) / 2 / Math.sqrt(8)) < 1e-12);
    assert.equal(compareSettings({ ...likeness, better: 'lower' }, closer, than).difference, -2.5);
  });

  it('leaves equal pictures out of the mean', () => {
    const exact: Setting = { mode: mode('patch full_sync'), ranks: 2, warmupSteps: undefined };
    const likeness = psnr((setting, picture) => (setting.mode === exact.mode && picture > 0 ? -Infinity : 0));
    assert.equal(meanLikeness(likeness, exact), 40);
  });

  it('draws a dot for each setting but the exact ones', () => {
    const shown = grid.filter((setting) => !isExactMode(setting.mode));
    const squares = shown.filter((setting) => !hasWarmUp(setting.mode));
    for (const plot of [plotModes, plotRanks]) {
      const svg = plot(psnr(paperLoss), modes, grid);
      assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /);
      assert.equal(svg.match(/<circle /g)?.length, shown.length - squares.length);
      for (const warmup of WARMUPS) assert.ok(svg.includes(`>warm-up ${warmup}<`));
    }
  });
});
