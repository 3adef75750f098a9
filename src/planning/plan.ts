import type { ComputeKind } from '../graph/cost.js';
import type { WeightsMode } from '../runtime/memory.js';
import { planWeights } from '../runtime/memory.js';
import type { GuidancePart } from '../runtime/topology.js';
import {
  type Choice,
  type ChoiceOptions,
  type JudgedChoice,
  judgeChoices,
  type LegalChoice,
} from './choices.js';
import { type ExchangeKind, exchangeKinds } from './exchanges.js';
import { Predictor } from './predict.js';
import type { MachineProfile, ProfileSetting } from './profile.js';
import { type PlannedImage, type PlannedStep, RankProgram } from './rank-program.js';

/** What is exchanged in a step for one kind of layer; means where steps alternate. */
export interface ExchangeTotal {
  readonly kind: ExchangeKind;
  /** Exchanges of a step. */
  readonly count: number;
  readonly published: number;
  readonly fetched: number;
}

/** What one rank does, sends and holds; bytes. */
export interface RankPlan {
  readonly rank: number;
  readonly guidance: GuidancePart;
  /** Such as "latent rows 1 to 16 of 32". */
  readonly share: string;
  /** Multiply-accumulates of a step. */
  readonly macs: Readonly<Record<ComputeKind, number>>;
  readonly memory: MemoryPlan;
  readonly synchronous: readonly ExchangeTotal[];
  readonly steady: readonly ExchangeTotal[];
}

export interface MemoryPlan {
  /** Weights in the page cache, one copy for all ranks. */
  readonly sharedWeights: number;
  readonly privateWeights: number;
  readonly activations: number;
  readonly exchange: number;
}

/** Predicted seconds. */
export interface Prediction {
  /** Of a step of the warm-up. */
  readonly synchronousStep: number;
  /** Of a step after it. */
  readonly step: number;
  /** Of all steps of a picture. */
  readonly picture: number;
}

export type PlannedChoice = Choice & {
  readonly threads: number;
  readonly weights: WeightsMode;
  readonly ranksPlan: readonly RankPlan[];
  readonly prediction: Prediction | undefined;
};

export interface PlanRequest {
  readonly image: PlannedImage;
  readonly rankCounts: readonly number[];
  readonly options: ChoiceOptions;
  readonly steps: number;
  /** Threads of each rank for a number of ranks. */
  readonly threads: (ranks: number) => number;
  readonly weights: WeightsMode | 'auto';
}

export interface Plan {
  readonly refused: readonly Extract<JudgedChoice, { legal: false }>[];
  readonly choices: readonly PlannedChoice[];
}

/** Measures what a prediction needs; undefined for plans without predictions. */
export type Profiler = ((setting: ProfileSetting) => Promise<MachineProfile>) | undefined;

/** All choices for these numbers of ranks, each built as its ranks build it. */
export async function makePlan(request: PlanRequest, profiler: Profiler): Promise<Plan> {
  const judged = judgeChoices(request.image, request.rankCounts, request.options);
  const choices: PlannedChoice[] = [];
  for (const choice of judged) if (choice.legal) choices.push(await planChoice(choice, request, profiler));
  return { choices, refused: judged.filter((choice) => !choice.legal) };
}

async function planChoice(
  choice: LegalChoice,
  request: PlanRequest,
  profiler: Profiler,
): Promise<PlannedChoice> {
  const { ranks, parallelism, splitBatch, topology, options } = choice;
  const programs = topology.roles.map((role) => RankProgram.build(request.image, topology, role, options));
  const weights = chooseWeights(request.weights, programs);
  const threads = request.threads(ranks);
  const profile = await profiler?.({ ranks, threads, weights });
  return {
    ...{ ranks, parallelism, splitBatch, threads, weights },
    ranksPlan: programs.map((program) => planRank(program, weights)),
    prediction: profile && predict(programs, new Predictor(profile), request.steps, options.warmupSteps),
  };
}

function chooseWeights(asked: WeightsMode | 'auto', programs: readonly RankProgram[]): WeightsMode {
  if (asked !== 'auto') return asked;
  return planWeights(sum(programs.map(({ weightBytes }) => weightBytes))).mode;
}

function planRank(program: RankProgram, weights: WeightsMode): RankPlan {
  const { role, share, macs, weightBytes, slicedWeightBytes, activationBytes, exchangeBytes } = program;
  const privateWeights = weights === 'private' ? weightBytes : slicedWeightBytes;
  return {
    ...{ rank: role.rank, guidance: role.guidance, share, macs },
    memory: {
      sharedWeights: weightBytes - privateWeights,
      privateWeights,
      activations: activationBytes,
      exchange: exchangeBytes,
    },
    synchronous: totals(program.synchronousSteps()),
    steady: totals(program.steadySteps()),
  };
}

function totals(steps: readonly PlannedStep[]): ExchangeTotal[] {
  return exchangeKinds.flatMap((kind) => {
    const own = steps.flatMap(({ exchanges }) => exchanges.filter((exchange) => exchange.kind === kind));
    if (own.length === 0) return [];
    const mean = (values: readonly number[]) => sum(values) / steps.length;
    return {
      kind,
      count: own.length / steps.length,
      published: mean(own.map(({ published }) => published)),
      fetched: mean(own.map(({ fetched }) => fetched)),
    };
  });
}

/** A step takes as long as that of its slowest rank: all meet at its end. */
function predict(
  programs: readonly RankProgram[],
  predictor: Predictor,
  steps: number,
  warmupSteps: number,
): Prediction {
  const slowest = (stepsOf: (program: RankProgram) => readonly PlannedStep[]) =>
    Math.max(
      ...programs.map((program) => {
        const own = stepsOf(program);
        return sum(own.map((step) => predictor.step(step))) / own.length;
      }),
    );
  const synchronousStep = slowest((program) => program.synchronousSteps());
  const step = slowest((program) => program.steadySteps());
  const synchronous = Math.min(warmupSteps + 1, steps);
  return { synchronousStep, step, picture: synchronous * synchronousStep + (steps - synchronous) * step };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
