import type { Predictor } from './predict.js';
import type { Prediction } from './prediction.js';
import type { StageWork } from './stage-work.js';

/** Seconds of the passes of step `call`, `[stage][part]`: of each stage's slowest rank. */
export type PassTimes = (call: number) => readonly (readonly number[])[];

/**
 * When the last stage is done with steps 0 to `steps - 1`. A stage begins a part when it is done with the
 * part before and has the part from the stage before; the first stage needs what the last one made of the
 * part in the step before or, where parts were others then, of all its parts. What stages wait is the bubble.
 */
export function stagesEnd(passTimes: PassTimes, steps: number): number {
  let done: number[] = [];
  /** When each part of the step before had left the last stage. */
  let latents: number[] = [];
  for (let call = 0; call < steps; call++) {
    const stages = passTimes(call);
    const parts = stages[0]?.length ?? 0;
    const before = latents;
    latents = [];
    done = stages.map((_, stage) => done[stage] ?? 0);
    for (let part = 0; part < parts; part++) {
      let arrived = before.length === parts ? (before[part] as number) : Math.max(0, ...before);
      for (const [stage, times] of stages.entries()) {
        arrived = Math.max(arrived, done[stage] as number) + (times[part] as number);
        done[stage] = arrived;
      }
      latents.push(arrived);
    }
  }
  return Math.max(0, ...latents);
}

/**
 * Of a pipeline with these stages' ranks. A step after the warm-up is the mean of those of the picture, the
 * filling of the pipeline included.
 */
export function predictStages(
  works: readonly StageWork[],
  predictor: Predictor,
  steps: number,
  warmupSteps: number,
): Prediction {
  const stages = works[0]?.place.stages ?? 0;
  const timesOf = (call: number) =>
    Array.from({ length: stages }, (_, stage) => {
      const ranks = works.filter(({ place }) => place.stage === stage);
      const each = ranks.map((work) => work.passes(call).map((pass) => predictor.step(pass)));
      return (each[0] ?? []).map((_, part) => Math.max(...each.map((times) => times[part] as number)));
    });
  // All steps after the first two of a kind are alike.
  const known = new Map<number, ReturnType<typeof timesOf>>();
  const passTimes = (call: number) => {
    const alike = call < warmupSteps ? Math.min(call, 1) : Math.min(call, warmupSteps + 1);
    const times = known.get(alike) ?? timesOf(alike);
    known.set(alike, times);
    return times;
  };
  const synchronous = Math.min(warmupSteps, steps);
  const stale = Math.max(1, steps - synchronous);
  const warm = stagesEnd(passTimes, warmupSteps);
  return {
    synchronousStep: warmupSteps > 0 ? warm / warmupSteps : stagesEnd(passTimes, 1),
    step: (stagesEnd(passTimes, warmupSteps + stale) - warm) / stale,
    picture: stagesEnd(passTimes, steps),
  };
}
