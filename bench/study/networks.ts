import { type LoadOptions, loadInception, loadLpips } from '../../src/metrics/load-networks.js';
import type { DrawnSetting } from './draw.js';
import { type Likeness, measureFid, measureLpips } from './likeness.js';

/** Files with the weights of networks that judge pictures; what is not given is not measured. */
export interface MetricWeights {
  readonly lpips: readonly string[];
  readonly fid: string | undefined;
}

/** Nothing is looked for or fetched that was not asked for. */
const load: LoadOptions = { offline: true, onDownload: () => {} };

/** LPIPS and FID of those whose weights are given, and why others are missing. */
export async function measureNetworks(
  weights: MetricWeights,
  alone: DrawnSetting,
  drawn: readonly DrawnSetting[],
  interruption: AbortSignal,
): Promise<{ likenesses: Likeness[]; missing: string[] }> {
  const likenesses: Likeness[] = [];
  const missing: string[] = [];
  if (weights.lpips.length > 0) {
    const network = await loadLpips(weights.lpips, load);
    likenesses.push(await measureLpips(alone, drawn, network).finally(() => network.release()));
  } else missing.push('LPIPS, as no weights of its network were given (`--lpips_weights`).');
  if (weights.fid !== undefined) {
    const network = await loadInception(weights.fid, load);
    likenesses.push(await measureFid(alone, drawn, network, interruption).finally(() => network.release()));
  } else missing.push('FID, as no weights of its network were given (`--fid_weights`).');
  return { likenesses, missing };
}
