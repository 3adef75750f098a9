import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type StrategyName, strategies, strategyNames } from '../../src/parallel/registry.js';
import { choiceText, comparedRankCounts, judgeChoices } from '../../src/planning/choices.js';
import { plannedPicture } from '../support/planned.js';

/** Those of a UNet. */
const parallelisms = strategyNames.filter((name) => strategies[name].needs === 'nothing');

/** Such as "patch split" for every legal choice of `ranks`, and the reasons of the others. */
async function judged(ranks: number, rows: number, columns: number, guided = true, allowSplit = true) {
  const image = await plannedPicture('tiny-shapes', { rows, columns });
  const choices = judgeChoices(image, [ranks], {
    guided,
    allowSplit,
    parallelisms,
    given: {},
  });
  const name = ({ parallelism, splitBatch }: (typeof choices)[number]) =>
    `${parallelism} ${splitBatch ? 'split' : 'whole'}`;
  return {
    legal: choices.filter(({ legal }) => legal).map(name),
    refused: Object.fromEntries(
      choices.flatMap((choice) => (choice.legal ? [] : [[name(choice), choice.reason]])),
    ),
  };
}

const whole = parallelisms.map((name) => `${name} whole`);
const both = parallelisms.flatMap((name) => [`${name} split`, `${name} whole`]);

const table: readonly [ranks: number, rows: number, columns: number, legal: readonly string[]][] = [
  [1, 32, 32, ['patch whole']],
  // Where each of two ranks has an image for itself, no strategy is asked.
  [2, 32, 32, ['patch split', ...whole]],
  [3, 32, 32, whole],
  [4, 32, 32, both],
  [5, 32, 32, whole],
  [8, 32, 32, both],
  // The smallest of three levels has 8 of 32 rows: 9 bands do not fit, 18 ranks with a split batch would make
  // 9.
  [9, 32, 32, ['tensor whole', 'naive_patch whole']],
  [16, 32, 32, both.filter((name) => name !== 'patch whole')],
  [18, 32, 32, both.filter((name) => !name.startsWith('patch'))],
  [4, 8, 32, both.filter((name) => name !== 'patch whole')],
  [4, 32, 8, both],
  // Naive patches are cut in rows and columns in turn.
  [10, 64, 8, both.filter((name) => name !== 'naive_patch whole')],
  [34, 32, 32, ['tensor split', 'tensor whole', 'naive_patch split']],
];

for (const [ranks, rows, columns, legal] of table) {
  test(`${ranks} ranks on ${rows}x${columns} latents: ${legal.length} ways`, async () => {
    assert.deepEqual((await judged(ranks, rows, columns)).legal, legal);
  });
}

test('without guidance, or when it is not wanted, no batch is split', async () => {
  const unguided = await judged(4, 32, 32, false);
  assert.deepEqual(unguided.legal, whole);
  assert.deepEqual(
    Object.keys(unguided.refused),
    both.filter((name) => !whole.includes(name)),
  );
  for (const reason of Object.values(unguided.refused)) assert.match(reason, /without guidance/);
  assert.deepEqual(await judged(4, 32, 32, true, false), { legal: whole, refused: {} });
});

test('reasons say what would work', async () => {
  assert.match(
    (await judged(3, 32, 32)).refused['patch split'] ?? '',
    /3 ranks can't be halved; an even number can/,
  );
  assert.match(
    (await judged(9, 32, 32)).refused['patch whole'] ?? '',
    /smallest level has 8 rows; at most 8/,
  );
  assert.match((await judged(34, 32, 32)).refused['naive_patch whole'] ?? '', /at most 32/);
});

/**
 * Texts of the ways of a transformer that `--parallelism` allows, and the reasons of those that are not
 * possible.
 */
async function judgedTransformer(ranks: number, rows: number, parallelisms: readonly StrategyName[]) {
  const image = await plannedPicture('pixart-xl-2', { rows, columns: 64 });
  const choices = judgeChoices(image, [ranks], {
    guided: true,
    allowSplit: true,
    parallelisms,
    given: {},
  });
  return {
    legal: choices.filter(({ legal }) => legal).map(choiceText),
    refused: choices.flatMap((choice) => (choice.legal ? [] : [`${choiceText(choice)}: ${choice.reason}`])),
  };
}

test('sequence has a way for every pair of degrees, with the batch split and whole', async () => {
  assert.deepEqual(await judgedTransformer(6, 64, ['sequence']), {
    legal: [
      '6 ranks, sequence ulysses 3 x ring 1, split batch',
      '6 ranks, sequence ulysses 1 x ring 3, split batch',
      '6 ranks, sequence ulysses 6 x ring 1, whole batch',
      '6 ranks, sequence ulysses 3 x ring 2, whole batch',
      '6 ranks, sequence ulysses 2 x ring 3, whole batch',
      '6 ranks, sequence ulysses 1 x ring 6, whole batch',
    ],
    refused: [],
  });
});

test('pipefusion has a way for every number of ranks of a stage, and says what is not possible', async () => {
  assert.deepEqual((await judgedTransformer(4, 64, ['pipefusion'])).legal, [
    '4 ranks, pipefusion 2 stages, 2 patches, split batch',
    '4 ranks, pipefusion 4 stages, 4 patches, whole batch',
    '4 ranks, pipefusion 2 stages x 2 ranks, 2 patches, whole batch',
  ]);
  // 6 rows of patches make 3 patches of 2 where 5 are asked for, and 10 rows 3 patches of an even height
  // where 4 are.
  assert.match((await judgedTransformer(5, 12, ['pipefusion'])).legal.join(), /5 stages, 3 patches, whole/);
  assert.match(
    (await judgedTransformer(8, 20, ['pipefusion'])).legal.join(),
    /4 stages x 2 ranks, 3 patches, whole/,
  );
  // 28 layers; 16 rows of latents are 8 rows of patches.
  const { refused } = await judgedTransformer(29, 16, ['pipefusion']);
  assert.deepEqual(refused, [
    "29 ranks, pipefusion, split batch: 29 ranks can't be halved; an even number can",
    '29 ranks, pipefusion 29 stages, 29 patches, whole batch: 29 pipeline patches are too many for 8 rows of patches; at most 8 would work',
  ]);
  assert.match(
    (await judgedTransformer(29, 64, ['pipefusion'])).refused[1] ?? '',
    /29 stages are too many for 28 layers; at most 28/,
  );
});

test('a UNet has neither tokens nor blocks to divide', async () => {
  const image = await plannedPicture('tiny-shapes', { rows: 32, columns: 32 });
  const [sequence, pipeline] = judgeChoices(image, [3], {
    guided: true,
    allowSplit: false,
    parallelisms: ['sequence', 'pipefusion'],
    given: {},
  }).filter(({ legal }) => !legal);
  for (const choice of [sequence, pipeline])
    assert.match(
      choice && !choice.legal ? choice.reason : '',
      /row of blocks on tokens, .* this model has none; patch, tensor, naive_patch would work/,
    );
});

test('compared are one rank, powers of two and what was asked for', () => {
  assert.deepEqual(comparedRankCounts(1), [1]);
  assert.deepEqual(comparedRankCounts(4), [1, 2, 4]);
  assert.deepEqual(comparedRankCounts(6), [1, 2, 4, 6]);
});
