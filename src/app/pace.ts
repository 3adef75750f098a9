import { clockText, secondsText } from '../base/numbers.js';

/** How fast something goes on, and how long it will still take. */
export class Pace {
  readonly #started = performance.now();
  #from = 0;
  #fromTime = performance.now();

  /** Leaves out what has passed: what follows goes at another speed. */
  restart(done: number): void {
    this.#from = done;
    this.#fromTime = performance.now();
  }

  /** Since the beginning. */
  get seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  /** Such as "0.52 s/step, 0:23 left"; undefined where nothing was done yet. */
  outlook(done: number, total: number, unit: string): string | undefined {
    const counted = done - this.#from;
    if (counted <= 0) return undefined;
    const each = (performance.now() - this.#fromTime) / 1000 / counted;
    const left = done < total ? `, ${clockText(each * (total - done))} left` : '';
    return `${secondsText(each)}/${unit}${left}`;
  }
}
