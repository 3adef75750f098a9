import { loadInception, loadLpips, type NetworkLoadOptions } from '../../src/metrics/load-networks.js';
import type { FeatureNetwork, LpipsNetwork } from '../../src/metrics/networks/types.js';
import type { DrawnSetting } from './draw.js';
import { type Likeness, measureFid, measureLpips } from './likeness.js';

/** Files with the weights of networks that judge pictures; what is not given is not measured. */
export interface MetricWeights {
  readonly lpips: readonly string[];
  readonly fid: string | undefined;
}

/** Nothing is looked for or fetched that was not asked for. */
const load: NetworkLoadOptions = { offline: true, onDownload: () => {} };

/** Those networks whose weights are given. */
export class StudyNetworks {
  private constructor(
    private readonly lpips: LpipsNetwork | undefined,
    private readonly inception: FeatureNetwork | undefined,
  ) {}

  /** Before anything is drawn: weights that can't be read are refused here. */
  static async open({ lpips, fid }: MetricWeights): Promise<StudyNetworks> {
    return new StudyNetworks(
      lpips.length > 0 ? await loadLpips(lpips, load) : undefined,
      fid === undefined ? undefined : await loadInception(fid, load),
    );
  }

  /** What is not measured, and why. */
  get missing(): string[] {
    return [
      ...(this.lpips ? [] : ['LPIPS, as no weights of its network were given (`--lpips_weights`).']),
      ...(this.inception ? [] : ['FID, as no weights of its network were given (`--fid_weights`).']),
    ];
  }

  async measure(
    alone: DrawnSetting,
    drawn: readonly DrawnSetting[],
    interruption: AbortSignal,
  ): Promise<Likeness[]> {
    return [
      ...(this.lpips ? [await measureLpips(alone, drawn, this.lpips)] : []),
      ...(this.inception ? [await measureFid(alone, drawn, this.inception, interruption)] : []),
    ];
  }

  async close(): Promise<void> {
    await this.lpips?.release();
    await this.inception?.release();
  }
}
