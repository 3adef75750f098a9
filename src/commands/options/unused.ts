import type { Command } from 'commander';
import type { DrawPlan } from '../../app/plan-drawing.js';
import { camelCase } from '../../base/option-spec.js';
import { openDevice } from '../../engine/device.js';
import { strategyOptions } from '../../parallel/registry.js';
import { schedulers } from '../../schedulers/registry.js';
import { type BenchmarkOptions, benchmarkOptionNames } from './benchmark.js';
import { givenStrategyOptions } from './parallel.js';
import type { DrawOptions } from './run.js';

/**
 * Lines about options that were given and change nothing: command lines of the public scripts have them all.
 */
export function unusedOptions(
  command: Command,
  options: DrawOptions & Partial<BenchmarkOptions>,
  { parallel, request, load }: DrawPlan,
): readonly string[] {
  const { parallelism } = parallel;
  const lines: string[] = [];
  if (options.no_cuda_graph) lines.push('--no_cuda_graph has no effect on a CPU');
  const { engine, sharesWeights } = openDevice(load.device);
  if (sharesWeights && command.getOptionValueSource('weights') === 'cli') {
    lines.push(`--weights has no effect with --engine ${engine}: its ranks share one copy, which is as fast`);
  }
  const given = Object.keys(givenStrategyOptions(options));
  for (const { spec, owners } of strategyOptions) {
    if (!given.includes(camelCase(spec.name)) || owners.includes(parallelism)) continue;
    lines.push(
      `--${spec.name} has no effect with --parallelism ${parallelism}, only with ${owners.join(' or ')}`,
    );
  }
  if (request.eta > 0 && schedulers[request.scheduler].noise !== 'eta') {
    lines.push(`--eta has no effect with --scheduler ${request.scheduler}`);
  }
  if (options.mode === 'generation') {
    const unused = benchmarkOptionNames.filter((name) => command.getOptionValueSource(name) === 'cli');
    lines.push(...unused.map((name) => `--${name} has no effect without --mode benchmark`));
  }
  return lines;
}
