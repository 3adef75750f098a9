import { type Command, Option } from 'commander';
import { DistriError, expected } from '../../base/errors.js';
import type { Topology } from '../../parallel/topology.js';
import { type NaivePositions, naivePositionNames, type ParallelOptions } from '../../pipelines/request.js';
import { integer, oneOf } from './parsers.js';

/** How ranks share a transformer, as commander collects it; names and meanings are those of the public project xDiT. */
export interface TransformerOptions {
  readonly use_cfg_parallel?: true;
  readonly ulysses_degree?: number;
  readonly ring_degree?: number;
  readonly naive_positions?: NaivePositions;
}

export function addTransformerOptions(command: Command): Command {
  return command
    .optionsGroup('Parallelism:')
    .addOption(
      new Option(
        '--use_cfg_parallel',
        'insist that two halves of the ranks share the batch of the guidance (which an even number does by default)',
      ),
    )
    .addOption(
      new Option(
        '--ulysses_degree <n>',
        'sequence: ranks that exchange tokens for heads (default: all of an image)',
      ).argParser(integer('--ulysses_degree', 1)),
    )
    .addOption(
      new Option('--ring_degree <n>', 'sequence: ranks that pass on keys and values (default: 1)').argParser(
        integer('--ring_degree', 1),
      ),
    )
    .addOption(
      new Option(
        '--naive_positions <of>',
        `naive_patch: positions as in a picture of the part's size, or as in the whole: ${naivePositionNames.join(', ')} (default: part)`,
      ).argParser(oneOf('--naive_positions', naivePositionNames)),
    );
}

/** Refuses options of another strategy than the one that is used. */
export function transformerParallelism(
  options: TransformerOptions & { readonly no_split_batch?: true },
  parallelism: ParallelOptions['parallelism'],
  topology: Topology,
): Pick<ParallelOptions, 'sequence' | 'naivePositions'> {
  checkGuidance(options, topology);
  const owners = {
    ulysses_degree: 'sequence',
    ring_degree: 'sequence',
    naive_positions: 'naive_patch',
  } as const;
  for (const [name, owner] of Object.entries(owners) as [keyof typeof owners, string][]) {
    if (options[name] !== undefined && parallelism !== owner) {
      throw new DistriError('usage', `--${name} needs --parallelism ${owner}`);
    }
  }
  return {
    sequence: { ulyssesDegree: options.ulysses_degree, ringDegree: options.ring_degree },
    naivePositions: options.naive_positions,
  };
}

function checkGuidance(
  { use_cfg_parallel, no_split_batch }: TransformerOptions & { readonly no_split_batch?: true },
  { splitBatch, guided, worldSize }: Topology,
): void {
  if (!use_cfg_parallel || splitBatch) return;
  if (no_split_batch) {
    throw new DistriError(
      'usage',
      '--use_cfg_parallel and --no_split_batch exclude each other; use one of them',
    );
  }
  if (!guided) {
    throw new DistriError(
      'usage',
      '--use_cfg_parallel needs guidance; a --guidance_scale above 1 would work',
    );
  }
  throw expected('an even number of ranks per image', '--use_cfg_parallel', worldSize);
}
