import { mean, sum } from '../base/numbers.js';
import { choiceOf, type Device } from '../engine/device.js';
import type { HeldBytes } from '../engine/held-bytes.js';
import type { ComputeKind } from '../graph/operators.js';
import type { WeightsMode } from '../machine/memory.js';
import { planWeights } from '../machine/memory.js';
import { isExact, type ParallelOptions, strategyOf, synchronousSteps } from '../parallel/registry.js';
import { type ExchangeKind, exchangeKinds } from '../parallel/slots.js';
import type { GuidancePart, Topology } from '../parallel/topology.js';
import {
  type Choice,
  type ChoiceOptions,
  type JudgedChoice,
  judgeChoices,
  type LegalChoice,
  ranksPerImage,
} from './choices.js';
import { Predictor } from './predict.js';
import type { Prediction } from './prediction.js';
import type { Measured, MeasureProfile } from './profile.js';
import { RankProgram } from './rank-program.js';
import type { PlannedImage, PlannedStep } from './rank-work.js';
import { predictStages } from './stage-prediction.js';
import { StageWork } from './stage-work.js';

/** What is exchanged in a step for one kind of layer; means where steps alternate. */
export interface ExchangeTotal {
  /** Of layer. */
  readonly kind: ExchangeKind;
  /** Exchanges of a step. */
  readonly count: number;
  /** Bytes of a step that the rank leaves for others. */
  readonly published: number;
  /** Bytes of a step that the rank reads from others. */
  readonly fetched: number;
}

/** What one rank does, sends and holds; bytes. */
export interface RankPlan {
  /** From 0. */
  readonly rank: number;
  /** What it predicts of the guidance's batch. */
  readonly guidance: GuidancePart;
  /** Such as "latent rows 1 to 16 of 32". */
  readonly share: string;
  /** Multiply-accumulates of a step. */
  readonly macs: Readonly<Record<ComputeKind, number>>;
  /** What it holds while it denoises. */
  readonly memory: MemoryPlan;
  /** What it exchanges in a step of the warm-up. */
  readonly synchronous: readonly ExchangeTotal[];
  /** What it exchanges in a step after that. */
  readonly steady: readonly ExchangeTotal[];
}

/** Bytes that a rank holds to denoise: without text encoders, VAE and what the engine needs for itself. */
export interface MemoryPlan extends HeldBytes {
  /** Shared memory that it publishes in: every slot twice. */
  readonly exchange: number;
}

/** A way that there is, with what each rank does and how long a step takes. */
export type PlannedChoice = Choice & {
  /** Of each rank. */
  readonly threads: number;
  /** How ranks hold their weights. */
  readonly weights: WeightsMode;
  /** Steps of the warm-up, in which nothing is stale. */
  readonly synchronousSteps: number;
  /** By rank. */
  readonly ranksPlan: readonly RankPlan[];
  /** Undefined where nothing was measured. */
  readonly prediction: Prediction | undefined;
  /** When what the prediction rests on was measured, and at which load. */
  readonly measured: Measured | undefined;
  /** Whether it draws the picture of one rank, but for rounding. */
  readonly exact: boolean;
  /** Whether it draws pictures that are wanted. */
  readonly recommendable: boolean;
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

/** Looks around between two pieces of work: lets signals in, and throws when the user wants an end. */
export type Pause = () => Promise<void>;

/**
 * All choices for these numbers of ranks, each built as its ranks build it. `measure` gives what a prediction
 * needs; without it there are none.
 */
export async function makePlan(
  request: PlanRequest,
  measure: MeasureProfile | undefined,
  pause: Pause = async () => {},
): Promise<Plan> {
  const judged = judgeChoices(request.image, request.rankCounts, request.options);
  const choices: PlannedChoice[] = [];
  for (const choice of judged) {
    if (choice.legal) choices.push(await planChoice(choice, request, measure, pause));
  }
  return { choices, refused: judged.filter((choice) => !choice.legal) };
}

async function planChoice(
  choice: LegalChoice,
  request: PlanRequest,
  measure: MeasureProfile | undefined,
  pause: Pause,
): Promise<PlannedChoice> {
  const { topology, options, legal: _, ...way } = choice;
  const { ranks } = way;
  const programs: RankProgram[] = [];
  for (const role of topology.roles) {
    await pause();
    programs.push(RankProgram.build(request.image, topology, role, options));
  }
  const weights = chooseWeights(request.weights, programs, request.image.device);
  const threads = request.threads(ranks);
  const profile = await measure?.({ ranks, threads, weights, device: choiceOf(request.image.device) });
  return {
    ...way,
    threads,
    weights,
    synchronousSteps: synchronousSteps(options, topology, request.steps),
    ranksPlan: programs.map((program) => planRank(program, weights)),
    prediction: profile && predict(programs, new Predictor(profile), request.steps, options, topology),
    measured: profile?.measured,
    exact: isExact(options, topology),
    recommendable: strategyOf(options).isRecommendable(options, ranksPerImage(way)),
  };
}

function chooseWeights(
  asked: WeightsMode | 'auto',
  programs: readonly RankProgram[],
  device: Device,
): WeightsMode {
  if (device.sharesWeights) return 'shared';
  if (asked !== 'auto') return asked;
  return planWeights(sum(programs.map(({ weightBytes }) => weightBytes)), device.freeBytes()).mode;
}

function planRank(program: RankProgram, weights: WeightsMode): RankPlan {
  const { role, share, macs } = program;
  return {
    ...{ rank: role.rank, guidance: role.guidance, share, macs },
    memory: { ...program.held(weights), exchange: program.exchangeBytes },
    synchronous: totals(program.synchronousSteps()),
    steady: totals(program.steadySteps()),
  };
}

function totals(steps: readonly PlannedStep[]): ExchangeTotal[] {
  return (Object.keys(exchangeKinds) as ExchangeKind[]).flatMap((kind) => {
    const own = steps.flatMap(({ exchanges }) => exchanges.filter((exchange) => exchange.kind === kind));
    if (own.length === 0) return [];
    const perStep = (values: readonly number[]) => sum(values) / steps.length;
    return {
      kind,
      count: own.length / steps.length,
      published: perStep(own.map(({ published }) => published)),
      fetched: perStep(own.map(({ fetched }) => fetched)),
    };
  });
}

function predict(
  programs: readonly RankProgram[],
  predictor: Predictor,
  steps: number,
  options: ParallelOptions,
  topology: Topology,
): Prediction {
  const stages = programs.flatMap(({ work }) => (work instanceof StageWork ? [work] : []));
  return stages.length > 0
    ? predictStages(stages, predictor, steps, options.warmupSteps)
    : predictLayers(programs, predictor, steps, synchronousSteps(options, topology, steps));
}

/** A step takes as long as that of its slowest rank: all meet at its end. */
function predictLayers(
  programs: readonly RankProgram[],
  predictor: Predictor,
  steps: number,
  synchronous: number,
): Prediction {
  const slowest = (stepsOf: (program: RankProgram) => readonly PlannedStep[]) =>
    Math.max(
      ...programs.map((program) => {
        const own = stepsOf(program);
        return mean(own.map((step) => predictor.step(step)));
      }),
    );
  const synchronousStep = slowest((program) => program.synchronousSteps());
  const step = slowest((program) => program.steadySteps());
  return { synchronousStep, step, picture: synchronous * synchronousStep + (steps - synchronous) * step };
}
