/** Where a run stands: the index of the next step. It begins at the timestep that is asked for first. */
export class StepPosition {
  readonly #timesteps: readonly number[];
  #index: number | undefined;

  constructor(timesteps: readonly number[]) {
    this.#timesteps = timesteps;
  }

  /**
   * The index of the step at `timestep`. After the first step only the order counts, as timesteps may be
   * equal.
   */
  at(timestep: number): number {
    this.#index ??= this.find(timestep);
    if (this.#index >= this.#timesteps.length) throw new RangeError('all steps of the schedule were taken');
    return this.#index;
  }

  copy(): StepPosition {
    const copy = new StepPosition(this.#timesteps);
    copy.#index = this.#index;
    return copy;
  }

  advance(): void {
    if (this.#index !== undefined) this.#index++;
  }

  /** The first index of a timestep in the schedule. */
  find(timestep: number): number {
    const index = this.#timesteps.indexOf(timestep);
    if (index === -1) throw new RangeError(`the schedule has no timestep ${timestep}`);
    return index;
  }
}
