import { loadAddon } from './load.js';

/** A way for ranks to exchange data. */
export interface Transport {
  readonly name: string;
  readonly available: boolean;
  /** What it serves for, or what is missing. */
  readonly reason: string;
}

/**
 * Those that this build has. `addonFailure` says why the native addon can't be used, undefined where it can.
 */
export function describeTransports(addonFailure: string | undefined): Transport[] {
  if (addonFailure !== undefined) {
    return [{ name: 'all', available: false, reason: 'the native addon is not usable' }];
  }
  const addon = loadAddon();
  return addon.transports.map((name) => {
    const { purpose, problem } = addon.describeTransport(name);
    return { name, available: problem === undefined, reason: problem ?? purpose };
  });
}
