import type { StrategyName, StrategyOptions } from '../../src/parallel/registry.js';

/** What a formula for the bytes that a rank sends in a step needs to know. */
export interface Traffic {
  readonly ranks: number;
  readonly layers: number;
  /** Bytes of one hidden state of the whole image and batch: p x hs. */
  readonly hidden: number;
  /** Bytes of the prediction of the whole image and batch, and of the latents of the image. */
  readonly output: number;
  readonly latents: number;
}

/** What is known of what a strategy sends. */
export interface Cost {
  /**
   * PipeFusion's table (arXiv 2405.14430), whose costs are sent and received together for PipeFusion only.
   */
  readonly paper: string;
  /** What exactly the same is here, as text and as the mean over the ranks. */
  readonly exact: string;
  readonly bytes: (traffic: Traffic) => number;
}

type CostOf = (options: Partial<StrategyOptions>, ranks: number) => Cost;

/** By strategy, for whole batches. One that is not here is measured all the same. */
const costs: { readonly [S in StrategyName]?: CostOf } = {
  tensor: () => ({
    paper: '4 O(p hs) L',
    exact: '6(N-1)/N L',
    // Three sums in a block: cross-attention is divided as well.
    bytes: ({ ranks, layers, hidden }) => ((6 * (ranks - 1)) / ranks) * layers * hidden,
  }),
  patch: () => ({
    paper: '2 O(p hs) L',
    exact: '2(N-1)/N L + output',
    bytes: (traffic) => {
      const { ranks, layers, hidden } = traffic;
      return ((2 * (ranks - 1)) / ranks) * layers * hidden + gathered(traffic);
    },
  }),
  naive_patch: () => ({ paper: '-', exact: 'output', bytes: gathered }),
  sequence: ({ ulyssesDegree = 1 }, ranks) => sequenceCost(ulyssesDegree, ranks / ulyssesDegree),
  pipefusion: ({ sequenceDegree = 1 }, ranks) => stageCost(ranks / sequenceDegree, sequenceDegree),
};

export function costOf(
  parallelism: StrategyName,
  options: Partial<StrategyOptions>,
  ranks: number,
): Cost | undefined {
  return costs[parallelism]?.(options, ranks);
}

/** The prediction's parts, which all ranks gather. */
function gathered({ ranks, output }: Traffic): number {
  return ((ranks - 1) / ranks) * output;
}

/** All to all of queries, keys, values and results among `ulysses` ranks, keys and values from the others. */
function sequenceCost(ulysses: number, ring: number): Cost {
  const ranks = ulysses * ring;
  const toHeads = (4 * (ulysses - 1)) / (ulysses * ranks);
  const around = (2 * (ring - 1)) / ranks;
  const terms = [
    ...(ulysses > 1 ? ['4(U-1)/(U N) L'] : []),
    ...(ring > 1 ? [ulysses > 1 ? '2(R-1)/N L' : '2(N-1)/N L'] : []),
  ];
  return {
    paper: ring === 1 ? '4/N O(p hs) L' : ulysses === 1 ? '2 O(p hs) L' : '-',
    exact: [...terms, 'output'].join(' + '),
    // Of a ring's block only the keys and values of a rank's own heads are read.
    bytes: (traffic) => (toHeads + around) * traffic.layers * traffic.hidden + gathered(traffic),
  };
}

/**
 * Hidden states from stage to stage, latents back; `lanes` ranks of a stage read each other's keys and
 * values.
 */
function stageCost(stages: number, lanes: number): Cost {
  const shared = (2 * (lanes - 1)) / (lanes * stages);
  const along = lanes === 1 ? ['(N-1)/N'] : ['(S-1)/N', '2(K-1)/(K S) L'];
  return {
    paper: lanes === 1 ? '2 O(p hs)' : '-',
    exact: [...along, 'latents/N'].join(' + '),
    bytes: ({ ranks, layers, hidden, latents }) =>
      ((stages - 1) * hidden + latents) / ranks + shared * layers * hidden,
  };
}
