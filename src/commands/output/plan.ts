import type { PlanReport } from '../../app/plan.js';
import { measuredText } from '../../app/settle.js';
import { bytesText, secondsText, sum } from '../../base/numbers.js';
import { camelCase } from '../../base/option-spec.js';
import { deviceText } from '../../engine/device.js';
import { computeKinds } from '../../graph/operators.js';
import { strategyOptions } from '../../parallel/registry.js';
import { exchangeKinds } from '../../parallel/slots.js';
import { choiceText } from '../../planning/choices.js';
import { totalMacs } from '../../planning/macs.js';
import type { ExchangeTotal, PlannedChoice, RankPlan } from '../../planning/plan.js';
import type { PlannedVae } from '../../planning/vae-ranks.js';
import { table } from './table.js';

export function planLines({ picture, choices, refused, recommended, shown, vae }: PlanReport): string[] {
  const { model, width, height, guided, steps } = picture;
  const described = shown === undefined ? undefined : choices[shown];
  return [
    `${model}: ${width}x${height}, ${steps} steps, ${guided ? 'with' : 'without'} guidance, ${deviceText(picture.device)}${optionsText(picture.options)}`,
    '',
    ...choiceTable(choices).map((line) => `  ${line}`),
    '',
    ...refusedLines(refused),
    ...bestLines(choices, recommended),
    ...(described ? detailLines(described) : []),
    ...(vae ? vaeLines(vae) : []),
  ];
}

/** What strategies were told: "; sync_mode full_sync". */
function optionsText(given: PlanReport['picture']['options']): string {
  const texts = strategyOptions.flatMap(({ spec }) => {
    const value = (given as Readonly<Record<string, unknown>>)[camelCase(spec.name)];
    return value === undefined ? [] : [`${spec.name} ${String(value)}`];
  });
  return texts.length === 0 ? '' : `; ${texts.join(', ')}`;
}

function bestLines(choices: readonly PlannedChoice[], recommended: PlanReport['recommended']): string[] {
  if (!recommended) return [];
  const choice = choices[recommended.index] as PlannedChoice;
  const measured = choice.measured;
  const when = measured ? [`  ${measuredText(measured)}; --remeasure measures again`] : [];
  return [`best: ${choiceText(choice)}: ${recommended.reason}`, ...when, ''];
}

function choiceTable(choices: readonly PlannedChoice[]): string[] {
  const titles = [
    'choice',
    'threads',
    'weights',
    'MACs',
    'sent',
    'memory',
    'step',
    'warm-up step',
    'picture',
  ];
  const rows = choices.map((choice) => {
    const { threads, weights, ranksPlan, prediction } = choice;
    const most = (amount: (rank: RankPlan) => number) => Math.max(...ranksPlan.map(amount));
    const time = (seconds: number | undefined) => (seconds === undefined ? '-' : secondsText(seconds));
    return [
      choiceText(choice),
      String(threads),
      weights,
      macsText(most(({ macs }) => totalMacs(macs))),
      bytesText(most(({ steady }) => published(steady))),
      bytesText(most(heldBytes)),
      time(prediction?.step),
      time(prediction?.synchronousStep),
      time(prediction?.picture),
    ];
  });
  return [
    ...table(titles, rows, [0, 2]),
    'MACs, bytes sent and memory: of the rank with most, each step',
    'memory: of the denoising; text encoders, VAE and the engine itself (about 100 MB) come on top',
  ];
}

function refusedLines(refused: PlanReport['refused']): string[] {
  if (refused.length === 0) return [];
  return ['not possible', ...refused.map((choice) => `  ${choiceText(choice)}: ${choice.reason}`), ''];
}

function detailLines(choice: PlannedChoice): string[] {
  return [
    choiceText(choice),
    ...likeRanks(choice.ranksPlan).flatMap(rankLines),
    ...exchangeTable(choice).map((line) => `  ${line}`),
  ];
}

const guidanceTexts = {
  both: 'whole batch',
  unconditional: 'unconditional half of the batch',
  conditional: 'conditional half of the batch',
} as const;

/** Ranks that do and hold the same, the halves of the guidance's batch apart, in groups. */
function likeRanks(ranks: readonly RankPlan[]): readonly (readonly RankPlan[])[] {
  const groups = new Map<string, RankPlan[]>();
  for (const rank of ranks) {
    const { guidance, macs, memory } = rank;
    const key = JSON.stringify([guidance, macs, memory]);
    groups.set(key, [...(groups.get(key) ?? []), rank]);
  }
  return [...groups.values()];
}

/** Each rank's share, and once what they have in common. */
function rankLines(ranks: readonly RankPlan[]): string[] {
  const [first] = ranks as readonly [RankPlan];
  const { sharedWeights, privateWeights, activations, kept, exchange } = first.memory;
  const total = totalMacs(first.macs);
  const kinds = computeKinds
    .filter((kind) => first.macs[kind] > 0)
    .map((kind) => `${kind} ${((100 * first.macs[kind]) / total).toFixed(0)} %`);
  const memory = [
    `${bytesText(privateWeights)} of own weights`,
    `${bytesText(sharedWeights)} of shared weights`,
    `about ${bytesText(activations)} of activations`,
    ...(kept > 0 ? [`${bytesText(kept)} of kept values`] : []),
    `${bytesText(exchange)} of exchange buffers`,
  ];
  return [
    ...ranks.map(({ rank, guidance, share }) => `  rank ${rank}: ${guidanceTexts[guidance]}, ${share}`),
    `    ${ranks.length === 1 ? '' : 'each '}${macsText(total)} a step (${kinds.join(', ')})`,
    `    ${memory.join(', ')}`,
  ];
}

function vaeLines({ mode, tilePixels, ranks }: PlannedVae): string[] {
  const tiles = tilePixels === undefined ? '' : `tiles of ${tilePixels} px, `;
  const who = ranks.length === 1 ? 'all on one rank' : `bands of rows on ${ranks.length} ranks`;
  return [
    `  VAE (--vae ${mode}): ${tiles}${who}`,
    ...ranks.map(
      ({ rank, share, activations, exchange }) =>
        `    rank ${rank}: ${share}, about ${bytesText(activations)} of activations, ${bytesText(exchange)} of exchange buffers`,
    ),
  ];
}

/**
 * Of the rank that sends most: what each kind of layer exchanges in a step of the warm-up and in a later one.
 */
function exchangeTable({ ranksPlan }: PlannedChoice): string[] {
  const [most] = ranksPlan.toSorted((a, b) => published(b.synchronous) - published(a.synchronous));
  if (!most || most.synchronous.length === 0) return ['nothing is exchanged'];
  const cells = (total: ExchangeTotal | undefined) => [
    bytesText(total?.published ?? 0),
    bytesText(total?.fetched ?? 0),
  ];
  const rows = most.synchronous.map((total) => [
    exchangeKinds[total.kind],
    total.count.toFixed(0),
    ...cells(total),
    ...cells(most.steady.find(({ kind }) => kind === total.kind)),
  ]);
  return table(
    [`exchanged by rank ${most.rank}`, 'times', 'warm-up: sent', 'read', 'later: sent', 'read'],
    rows,
    [0],
  );
}

function heldBytes({ memory }: RankPlan): number {
  return memory.sharedWeights + memory.privateWeights + memory.activations + memory.kept + memory.exchange;
}

function published(totals: readonly ExchangeTotal[]): number {
  return sum(totals.map((total) => total.published));
}

/** Such as "4.15 GMAC". */
function macsText(macs: number): string {
  return macs >= 1e12 ? `${(macs / 1e12).toPrecision(3)} TMAC` : `${(macs / 1e9).toPrecision(3)} GMAC`;
}
