/** One way to share a picture. */
export interface SweepRun {
  readonly ranks: number;
  readonly name: string;
  /** Of `distri run-pixart`. */
  readonly options: readonly string[];
}

/** All that `ranks` can do: with the guidance's batch split, where their number is even, and with whole batches. */
export function sweepRuns(ranks: number): SweepRun[] {
  const run = (name: string, options: readonly string[]): SweepRun => ({
    ranks,
    name,
    options: ['-n', String(ranks), ...options],
  });
  if (ranks === 1) return [run('one rank', [])];
  const whole = sharings(ranks).map(([name, options]) => run(name, [...options, '--no_split_batch']));
  if (ranks % 2 !== 0) return whole;
  // With one rank for each half there is nothing else to share.
  const halves =
    ranks === 2
      ? [run('split batch', [])]
      : sharings(ranks / 2).map(([name, options]) => run(`split batch, ${name}`, options));
  return [...whole, ...halves];
}

/** How `ranks` of an image share it, two or more. */
function sharings(ranks: number): [name: string, options: readonly string[]][] {
  const degrees = Array.from({ length: ranks }, (_, index) => ranks - index).filter(
    (degree) => ranks % degree === 0,
  );
  return [
    ['patch', ['--parallelism', 'patch']],
    ['naive patches', ['--parallelism', 'naive_patch']],
    ...degrees.map((ulysses): [string, string[]] => {
      const ring = ranks / ulysses;
      const degreesGiven = ['--ulysses_degree', String(ulysses), '--ring_degree', String(ring)];
      return [`Ulysses ${ulysses} x ring ${ring}`, ['--parallelism', 'sequence', ...degreesGiven]];
    }),
    ['tensor', ['--parallelism', 'tensor']],
    [`PipeFusion, ${ranks} patches`, ['--parallelism', 'pipefusion', '--num_pipeline_patch', String(ranks)]],
  ];
}
