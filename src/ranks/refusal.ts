import { DistriError } from '../base/errors.js';

/**
 * What a job throws that can't be done, on all ranks alike and before they wait for each other: the ranks
 * stay, with all that they have loaded, and serve the next job. Whatever else a job throws ends its group.
 */
export class Refusal extends Error {
  constructor(readonly reason: DistriError) {
    super(reason.message, { cause: reason });
    this.name = 'Refusal';
  }
}

/** Does what every rank does alike and alone, as reading configs: what it refuses is a Refusal. */
export async function refusing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof DistriError ? new Refusal(error) : error;
  }
}
