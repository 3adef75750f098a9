import { setImmediate as nextTurn } from 'node:timers/promises';
import { DistriError, expected } from '../base/errors.js';
import { type PictureSize, sizeOr } from '../base/sizes.js';
import type { SimdLevel } from '../engine/addon.js';
import {
  choiceOf,
  chooseDevice,
  type Device,
  type DeviceChoice,
  type DtypeName,
  type EngineName,
  engineNames,
  openDevice,
} from '../engine/device.js';
import { availableCpus } from '../machine/cpus.js';
import type { WeightsMode } from '../machine/memory.js';
import {
  completeOptions,
  refuseForeignOptions,
  requireStrategy,
  type StrategyName,
  type StrategyOptions,
  strategiesFor,
} from '../parallel/registry.js';
import { guidanceOf } from '../pipelines/request.js';
import type { VaeMode } from '../pipelines/vae/plan.js';
import { type ChoiceOptions, choiceText, comparedRankCounts, setupOf } from '../planning/choices.js';
import { type MacsProfile, profileMacs } from '../planning/macs.js';
import { makePlan, type Plan, type PlannedChoice } from '../planning/plan.js';
import type { MeasureProfile } from '../planning/profile.js';
import { type PartList, RankProgram } from '../planning/rank-program.js';
import type { PlannedImage } from '../planning/rank-work.js';
import { recommend } from '../planning/recommend.js';
import { type PlannedVae, planVaeRanks } from '../planning/vae-ranks.js';
import { drawnSize } from './drawn-size.js';
import type { OpenModel } from './model.js';
import { plannedImage } from './settle.js';
import { defaultRanks, requireInteger } from './setup.js';

/** Which ways to share a picture are compared. */
export interface PlanOptions {
  /** In pixels; by default the width, or the model's own. */
  readonly height?: number | undefined;
  /** In pixels; by default the height. */
  readonly width?: number | undefined;
  /** By default the family's, as in `DrawCall`. */
  readonly numInferenceSteps?: number | undefined;
  /** At 1 or less there is no batch to split; by default the family's, as in `DrawCall`. */
  readonly guidanceScale?: number | undefined;
  /**
   * 1, powers of two up to this number of ranks, and this number are compared. By default 2, or 1 on one CPU.
   */
  readonly ranks?: number | undefined;
  /** Of each rank; by default the CPUs divided among the ranks. */
  readonly threads?: number | undefined;
  /** One copy of the weights for all ranks or one for each; by default (`auto`) as memory allows. */
  readonly weights?: WeightsMode | 'auto' | undefined;
  /** Of weights and activations; by default (`auto`) as in `SetupOptions`. */
  readonly dtype?: DtypeName | 'auto' | undefined;
  /** What computes; likewise. */
  readonly engine?: EngineName | 'auto' | undefined;
  /** Only this strategy; by default all that can share the model. */
  readonly parallelism?: StrategyName | undefined;
  /** Whether ways that split the batch of the guidance are compared; by default true. */
  readonly splitBatch?: boolean | undefined;
  /** What strategies are told; the rest is as they have it. With `parallelism` only its own are taken. */
  readonly strategyOptions?: Partial<StrategyOptions> | undefined;
  /** Who runs the VAE; by default auto. */
  readonly vae?: VaeMode | undefined;
  /** Whose commands are listed, of an engine that runs commands; by default nobody's. */
  readonly commandsOf?: number | undefined;
}

/** What a plan is for. */
export interface PlanPicture {
  /** Its name, as messages have it. */
  readonly model: string;
  /** In pixels. */
  readonly height: number;
  /** In pixels. */
  readonly width: number;
  /** Whether each step predicts two images, with the prompt and without. */
  readonly guided: boolean;
  /** Denoising steps of a picture. */
  readonly steps: number;
  /** What ranks compute on, and in which type. */
  readonly device: DeviceChoice;
  /** What strategies were told. */
  readonly options: Partial<StrategyOptions>;
}

/**
 * Who would do what, what is exchanged and held, and how long a step would take. Bytes, seconds,
 * multiply-accumulates.
 */
export interface PlanReport {
  /** What is drawn, which all choices have in common. */
  readonly picture: PlanPicture;
  /** Ways that there are, fewest ranks first. */
  readonly choices: readonly PlannedChoice[];
  /** Ways that can't be had, each with the reason. */
  readonly refused: Plan['refused'];
  /** The way that takes least time; undefined where nothing was measured. */
  readonly recommended:
    | {
        /** In `choices`. */
        readonly index: number;
        /** In a sentence for people. */
        readonly reason: string;
      }
    | undefined;
  /** The choice that is described in full: the recommended one, or else the last that is wanted. */
  readonly shown: number | undefined;
  /** How the ranks of that choice decode the picture; undefined without a VAE. */
  readonly vae: PlannedVae | undefined;
  /** What a rank of that choice runs; undefined where nobody asked. */
  readonly commands: PlannedCommands | undefined;
}

/** What a rank runs, part by part. */
export interface PlannedCommands {
  /** From 0. */
  readonly rank: number;
  readonly parts: readonly PartList[];
}

/**
 * Compares ways to share a picture of a model on CPUs of this level. With `measure` steps are predicted.
 * `signal` ends it between two pieces of work.
 */
export async function compareChoices(
  model: OpenModel,
  options: PlanOptions,
  simdLevel: SimdLevel,
  measure: MeasureProfile | undefined,
  signal: AbortSignal,
): Promise<PlanReport> {
  const device = openDevice(chooseDevice(options, simdLevel));
  const { image, choices: choiceOptions, size, steps } = compared(model, options, device);
  checkCommands(options, device);
  const pause = () => letSignalsIn(signal);
  const made = await makePlan(
    {
      image,
      rankCounts: comparedRankCounts(options.ranks ?? defaultRanks()),
      options: choiceOptions,
      steps,
      threads: (count) => options.threads ?? Math.max(1, Math.floor(availableCpus().count / count)),
      weights: options.weights ?? 'auto',
    },
    measure,
    pause,
  );
  const recommendation = recommend(made.choices);
  const recommended = recommendation && {
    index: made.choices.indexOf(recommendation.choice),
    reason: recommendation.reason,
  };
  const shown = recommended?.index ?? lastWanted(made.choices);
  const choice = shown === undefined ? undefined : made.choices[shown];
  const { vae: config } = model.outline;
  return {
    picture: {
      model: model.name,
      ...size,
      guided: choiceOptions.guided,
      steps,
      device: choiceOf(image.device),
      options: choiceOptions.given,
    },
    choices: made.choices,
    refused: made.refused,
    recommended,
    shown,
    vae:
      config &&
      choice &&
      planVaeRanks(options.vae ?? 'auto', {
        device: image.device,
        config,
        size: { rows: size.height, columns: size.width },
        worldSize: choice.ranks,
      }),
    commands: choice && plannedCommands(image, choice, choiceOptions, options.commandsOf),
  };
}

/** Before anything is measured. */
function checkCommands({ commandsOf, ranks = defaultRanks() }: PlanOptions, device: Device): void {
  if (commandsOf === undefined) return;
  if (!device.commands) {
    const others = engineNames.filter((name) => name !== device.engine);
    throw new DistriError(
      'unsupported',
      `--engine ${device.engine} has no commands to list; --engine ${others.join(' or ')} has`,
    );
  }
  requireInteger(commandsOf, 'the rank whose commands are listed', 0, ranks - 1);
}

function plannedCommands(
  image: PlannedImage,
  choice: PlannedChoice,
  options: ChoiceOptions,
  rank: number | undefined,
): PlannedCommands | undefined {
  if (rank === undefined) return undefined;
  const { topology, options: parallel } = setupOf(choice, options);
  const role = topology.roles[rank];
  if (role === undefined) {
    throw expected(`a rank of the ${choiceText(choice)} that are planned`, '--commands', rank);
  }
  const parts = RankProgram.build(image, topology, role, parallel).lists();
  return parts && { rank, parts };
}

/** Of which picture multiply-accumulates were counted. */
export interface CountedMacs {
  readonly picture: PictureSize & { readonly steps: number; readonly guided: boolean };
  readonly counted: MacsProfile;
}

/** Multiply-accumulates of each rank in every way to share a picture. */
export async function countMacs(
  model: OpenModel,
  options: PlanOptions,
  signal: AbortSignal,
): Promise<CountedMacs> {
  // They are the same on all devices.
  const { image, choices, size, steps } = compared(model, options, openDevice());
  const picture = { ...size, steps, guided: choices.guided };
  const counted = await profileMacs(image, comparedRankCounts(options.ranks ?? defaultRanks()), choices, () =>
    letSignalsIn(signal),
  );
  return { picture, counted };
}

/** What is compared, of which picture. */
function compared(
  model: OpenModel,
  options: PlanOptions,
  device: Device,
): { image: PlannedImage; choices: ChoiceOptions; size: PictureSize; steps: number } {
  const { family, outline } = model;
  const { parallelism, strategyOptions: given = {} } = options;
  const asked = drawnSize(family, sizeOr(outline.native, options));
  // A size that is not among those a model was trained at is planned as it is.
  const geometry = family.geometry(outline, asked, { useResolutionBinning: false });
  if (parallelism !== undefined) {
    requireStrategy(parallelism, outline.model);
    refuseForeignOptions(parallelism, given);
    completeOptions(parallelism, given);
  }
  const { defaults } = family;
  return {
    image: plannedImage(model, { device, geometry, images: 1 }),
    choices: {
      guided:
        guidanceOf({
          guidanceScale: options.guidanceScale ?? defaults.guidanceScale,
          trueCfgScale: family.trueCfgScale?.({ negativePrompt: [], familyOptions: {} }),
        }) !== undefined,
      allowSplit: options.splitBatch ?? true,
      parallelisms: parallelism === undefined ? strategiesFor(outline.model) : [parallelism],
      given,
    },
    size: asked,
    steps: options.numInferenceSteps ?? defaults.numInferenceSteps,
  };
}

/** Those that nobody wants come with seams, or are no pipeline. */
function lastWanted(choices: readonly PlannedChoice[]): number | undefined {
  const index = choices.findLastIndex(({ recommendable }) => recommendable);
  return index < 0 ? undefined : index;
}

async function letSignalsIn(signal: AbortSignal): Promise<void> {
  await nextTurn();
  signal.throwIfAborted();
}
