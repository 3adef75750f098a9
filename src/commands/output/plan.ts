import { bytesText, secondsText, sum } from '../../base/numbers.js';
import { computeKinds } from '../../graph/passes/cost.js';
import type { Choice } from '../../planning/choices.js';
import type { ExchangeKind } from '../../planning/exchanges.js';
import { totalMacs } from '../../planning/macs.js';
import type { ExchangeTotal, Plan, PlannedChoice, RankPlan } from '../../planning/plan.js';
import type { Recommendation } from '../../planning/recommend.js';
import type { PlannedVae } from '../../planning/vae-ranks.js';
import { table } from './table.js';

/** What the plan is for. */
export interface PlanPicture {
  readonly model: string;
  readonly height: number;
  readonly width: number;
  readonly guided: boolean;
  readonly steps: number;
  readonly syncMode: string;
  readonly warmupSteps: number;
}

/** What `distri plan` prints; its `--json`. Bytes, seconds, and multiply-accumulates. */
export interface PlanReport {
  readonly picture: PlanPicture;
  readonly choices: readonly PlannedChoice[];
  readonly refused: Plan['refused'];
  /** Index in `choices` and why; undefined where nothing was measured. */
  readonly recommended: { readonly index: number; readonly reason: string } | undefined;
  /** How the ranks of the recommended choice or else the last one decode the picture; undefined without a VAE. */
  readonly vae: PlannedVae | undefined;
}

export function planReport(
  picture: PlanPicture,
  { choices, refused }: Plan,
  recommendation: Recommendation | undefined,
  planDecoding: (ranks: number) => PlannedVae | undefined,
): PlanReport {
  const recommended = recommendation && {
    index: choices.indexOf(recommendation.choice),
    reason: recommendation.reason,
  };
  const shown = shownChoice(choices, recommended?.index);
  return { picture, choices, refused, recommended, vae: shown && planDecoding(shown.ranks) };
}

/** The one whose ranks are described. */
function shownChoice(
  choices: readonly PlannedChoice[],
  recommended: number | undefined,
): PlannedChoice | undefined {
  return choices[recommended ?? choices.length - 1];
}

export function planLines({ picture, choices, refused, recommended, vae }: PlanReport): string[] {
  const { model, width, height, guided, steps, syncMode, warmupSteps } = picture;
  const shown = shownChoice(choices, recommended?.index);
  return [
    `${model}: ${width}x${height}, ${steps} steps, ${guided ? 'with' : 'without'} guidance; ${syncMode}, ${warmupSteps + 1} warm-up steps${pipefusionText(choices)}`,
    '',
    ...choiceTable(choices).map((line) => `  ${line}`),
    '',
    ...refusedLines(refused),
    ...(recommended ? [`best: ${choiceText(choices[recommended.index])}: ${recommended.reason}`, ''] : []),
    ...(shown ? detailLines(shown) : []),
    ...(vae ? vaeLines(vae) : []),
  ];
}

/** Such as "4 ranks, patch, split batch". */
export function choiceText(choice: Choice | undefined): string {
  if (choice === undefined) return 'nothing';
  const { ranks, parallelism, splitBatch } = choice;
  return ranks === 1
    ? '1 rank'
    : `${ranks} ranks, ${parallelism}${degreesText(choice)}, ${splitBatch ? 'split' : 'whole'} batch`;
}

/** The warm-up of pipefusion, which has one of its own. */
function pipefusionText(choices: readonly PlannedChoice[]): string {
  const staged = choices.find((choice) => choice.pipefusion);
  return staged ? `, ${staged.synchronousSteps} with pipefusion` : '';
}

/** Such as " ulysses 2 x ring 4" or " 4 stages x 2, 4 patches". */
function degreesText({ sequence, pipefusion }: Choice): string {
  if (sequence) return ` ulysses ${sequence.ulyssesDegree} x ring ${sequence.ringDegree}`;
  if (!pipefusion) return '';
  const { stages, sequence: lanes, patches } = pipefusion;
  const shared = lanes === 1 ? '' : ` x ${lanes} ranks`;
  return ` ${stages} ${stages === 1 ? 'stage' : 'stages'}${shared}, ${patches} ${patches === 1 ? 'patch' : 'patches'}`;
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
  return [...table(titles, rows, [0, 2]), 'MACs, bytes sent and memory: of the rank with most, each step'];
}

function refusedLines(refused: Plan['refused']): string[] {
  if (refused.length === 0) return [];
  return ['not possible', ...refused.map((choice) => `  ${choiceText(choice)}: ${choice.reason}`), ''];
}

function detailLines(choice: PlannedChoice): string[] {
  return [
    choiceText(choice),
    ...choice.ranksPlan.flatMap(rankLines),
    ...exchangeTable(choice).map((line) => `  ${line}`),
  ];
}

const guidanceTexts = {
  both: 'whole batch',
  unconditional: 'unconditional half of the batch',
  conditional: 'conditional half of the batch',
} as const;

function rankLines(rank: RankPlan): string[] {
  const { sharedWeights, privateWeights, activations, kept, exchange } = rank.memory;
  const total = totalMacs(rank.macs);
  const kinds = computeKinds
    .filter((kind) => rank.macs[kind] > 0)
    .map((kind) => `${kind} ${((100 * rank.macs[kind]) / total).toFixed(0)} %`);
  const memory = [
    `${bytesText(privateWeights)} of own weights`,
    `${bytesText(sharedWeights)} of shared weights`,
    `about ${bytesText(activations)} of activations`,
    ...(kept > 0 ? [`${bytesText(kept)} of kept keys and values`] : []),
    `${bytesText(exchange)} of exchange buffers`,
  ];
  return [
    `  rank ${rank.rank}: ${guidanceTexts[rank.guidance]}, ${rank.share}`,
    `    ${macsText(total)} a step (${kinds.join(', ')})`,
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

const exchangeTexts: Readonly<Record<ExchangeKind, string>> = {
  halo: 'rows next to a convolution',
  keys_values: "attention's keys and values",
  heads: 'tokens for heads, and back',
  statistics: 'GroupNorm statistics',
  partial_sums: 'partial sums',
  hidden_states: 'hidden states for the next stage',
  latents: 'latents for the first stage',
  output: 'parts of the prediction',
};

/** Of the rank that sends most: what each kind of layer exchanges in a step of the warm-up and in a later one. */
function exchangeTable({ ranksPlan }: PlannedChoice): string[] {
  const [most] = ranksPlan.toSorted((a, b) => published(b.synchronous) - published(a.synchronous));
  if (!most || most.synchronous.length === 0) return ['nothing is exchanged'];
  const cells = (total: ExchangeTotal | undefined) => [
    bytesText(total?.published ?? 0),
    bytesText(total?.fetched ?? 0),
  ];
  const rows = most.synchronous.map((total) => [
    exchangeTexts[total.kind],
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
