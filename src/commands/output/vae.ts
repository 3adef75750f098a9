import type { VaeRun } from '../../app/vae.js';
import { bytesText, secondsText } from '../../base/numbers.js';

/** How a VAE ran: a line for everybody, and one for those who want to know more. */
export function vaeRunLines(
  kind: 'decode' | 'encode',
  { timings, peaks }: VaeRun,
): { readonly summary: string; readonly details: string } {
  const seconds = (milliseconds = 0) => secondsText(milliseconds / 1000);
  const { phases } = timings;
  return {
    summary: `${kind} ${seconds(phases[kind])}, loading ${seconds(phases.load)}`,
    details: `memory of the ranks above that of the loaded VAE: ${peaks.map(bytesText).join(', ')}`,
  };
}
