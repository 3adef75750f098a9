import type { ParallelOptions } from '../../src/pipelines/request.js';

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

export interface Strategy {
  readonly name: string;
  readonly parallel: ParallelOptions;
  /** PipeFusion's table (arXiv 2405.14430), whose costs are sent and received together for PipeFusion only. */
  readonly paper: string;
  /** What exactly the same is here, as text and as the mean over the ranks. */
  readonly exact: string;
  readonly bytes: (traffic: Traffic) => number;
}

const whole: ParallelOptions = {
  parallelism: 'patch',
  splitScheme: 'row',
  splitBatch: false,
  syncMode: 'corrected_async_gn',
  warmupSteps: 0,
};

/** The prediction's parts, which all ranks gather. */
function gathered({ ranks, output }: Traffic): number {
  return ((ranks - 1) / ranks) * output;
}

/** All to all of queries, keys, values and results among `ulysses` ranks, keys and values from the others. */
function sequence(ranks: number, ulysses: number): Strategy {
  const ring = ranks / ulysses;
  const toHeads = (4 * (ulysses - 1)) / (ulysses * ranks);
  const around = (2 * (ring - 1)) / ranks;
  const terms = [
    ...(ulysses > 1 ? ['4(U-1)/(U N) L'] : []),
    ...(ring > 1 ? [ulysses > 1 ? '2(R-1)/N L' : '2(N-1)/N L'] : []),
  ];
  return {
    name: ring === 1 ? 'Ulysses' : ulysses === 1 ? 'ring' : `Ulysses ${ulysses} x ring ${ring}`,
    parallel: { ...whole, parallelism: 'sequence', sequence: { ulyssesDegree: ulysses } },
    paper: ring === 1 ? '4/N O(p hs) L' : ulysses === 1 ? '2 O(p hs) L' : '-',
    exact: [...terms, 'output'].join(' + '),
    // Of a ring's block only the keys and values of a rank's own heads are read.
    bytes: (traffic) => (toHeads + around) * traffic.layers * traffic.hidden + gathered(traffic),
  };
}

/** All that N ranks can do with a whole batch. */
export function strategies(ranks: number): readonly Strategy[] {
  const degrees = Array.from({ length: ranks }, (_, index) => ranks - index).filter(
    (degree) => ranks % degree === 0,
  );
  return [
    {
      name: 'tensor',
      parallel: { ...whole, parallelism: 'tensor' },
      paper: '4 O(p hs) L',
      exact: '6(N-1)/N L',
      // Three sums in a block: cross-attention is divided as well.
      bytes: ({ layers, hidden }) => ((6 * (ranks - 1)) / ranks) * layers * hidden,
    },
    {
      name: 'DistriFusion',
      parallel: whole,
      paper: '2 O(p hs) L',
      exact: '2(N-1)/N L + output',
      bytes: (traffic) => ((2 * (ranks - 1)) / ranks) * traffic.layers * traffic.hidden + gathered(traffic),
    },
    ...degrees.map((degree) => sequence(ranks, degree)),
    {
      name: 'naive patches',
      parallel: { ...whole, parallelism: 'naive_patch' },
      paper: '-',
      exact: 'output',
      bytes: gathered,
    },
    {
      name: `PipeFusion, ${ranks} patches`,
      parallel: { ...whole, parallelism: 'pipefusion', warmupSteps: 1, pipefusion: { patches: ranks } },
      paper: '2 O(p hs)',
      exact: '(N-1)/N + latents/N',
      bytes: ({ hidden, latents }) => ((ranks - 1) * hidden + latents) / ranks,
    },
  ];
}
