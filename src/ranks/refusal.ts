import type { DistriError } from '../base/errors.js';

/**
 * What a job throws that can't be done, on all ranks alike and before they wait for each other: the ranks stay, with
 * all that they have loaded, and serve the next job. Whatever else a job throws ends its group.
 */
export class Refusal extends Error {
  constructor(readonly reason: DistriError) {
    super(reason.message, { cause: reason });
    this.name = 'Refusal';
  }
}
