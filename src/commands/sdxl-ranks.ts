import { type Checkpoint, openCheckpoint, requirePipelineClass } from '../checkpoint/checkpoint.js';
import { readAutoencoderKLConfig } from '../models/autoencoder-kl.js';
import { probeAddon } from '../native/load.js';
import { noiseModelBytes, pipelineWith, prepareRandomModel } from '../pipelines/random-model.js';
import type { LoadOptions, VaeSpread } from '../pipelines/request.js';
import { planVae } from '../pipelines/vae-plan.js';
import { availableCpus, type Cpus, shareCpus } from '../runtime/cpus.js';
import { unlessInterrupted } from '../runtime/interruption.js';
import type { GenerationJob, JobReport } from '../runtime/job.js';
import { RankGroup } from '../runtime/launcher.js';
import type { Meeting } from '../runtime/meeting.js';
import { planWeights } from '../runtime/memory.js';
import { readArchitecture } from './architectures.js';
import { type ModelFamily, pixArtFamily } from './model-family.js';
import { planPixArt } from './pixart-plan.js';
import { architectureSubject, checkpointSubject } from './plan-subject.js';
import { float32Bytes, prepareWeights, withByteProgress } from './prepare-weights.js';
import { settleParallelism } from './sdxl-auto.js';
import type { SdxlOptions } from './sdxl-options.js';
import { planSdxl, type SdxlPlan, type Subject } from './sdxl-plan.js';
import { describeMode, describeRanks, describeRequest } from './summary.js';
import type { Terminal } from './terminal.js';

const rankProgram = new URL('../runtime/rank.js', import.meta.url);

/** All that ranks need to begin. */
export interface SdxlPreparation {
  readonly plan: SdxlPlan;
  readonly load: LoadOptions;
  /** Version of ONNX Runtime. */
  readonly onnxRuntime: string;
}

export type SdxlRanks = RankGroup<GenerationJob, JobReport>;
export type SdxlMeeting = Meeting<GenerationJob, JobReport>;

/** Where a command runs. */
export interface RunContext {
  /** The kind of model that it draws with. */
  readonly family: ModelFamily;
  readonly terminal: Terminal;
  /** Aborted when the user wants it to end. */
  readonly interruption: AbortSignal;
  /** Of the processes of a launcher; undefined where distri starts the ranks. */
  readonly meeting: SdxlMeeting | undefined;
}

/** Makes what has to be there before ranks start: checked options, a checkpoint, weights in float32. */
export function prepareSdxl(
  options: SdxlOptions,
  subject: Subject,
  context: RunContext,
): Promise<SdxlPreparation> {
  return unlessInterrupted(context.interruption, prepare(options, subject, context));
}

/** Starts the ranks of one group; `group` of `options.data_parallel` groups uses its share of the CPUs. */
export function launchRanks(
  options: SdxlOptions,
  load: LoadOptions,
  { terminal, interruption, meeting }: RunContext,
  group = 0,
): Promise<SdxlRanks> {
  const worldSize = ranksPerGroup(options);
  // Launchers place their processes themselves.
  const shares =
    meeting === undefined ? shareCpus(availableCpus(), options.nproc_per_node, load.threads) : undefined;
  const cpus = shares?.slice(group * worldSize, (group + 1) * worldSize);
  const name = options.data_parallel === undefined ? '' : `group ${group}, `;
  if (cpus !== undefined) {
    terminal.detail(`${name}CPUs of the ranks: ${cpus.map((share) => share.join(',')).join(' | ')}`);
  }
  const log = (rank: number, line: string) => terminal.detail(`${name}rank ${rank}: ${line}`);
  const timeout = options.comm_timeout * 1000;
  return RankGroup.launch({ worldSize, entry: rankProgram, cpus, timeout, interruption, log }, meeting);
}

/** Says what will be done and who does it. */
export function describeRun(
  subject: Subject,
  { plan, load }: SdxlPreparation,
  terminal: Terminal,
  groups = 1,
): void {
  const { request, steps, topology, parallel, parallelism } = plan;
  const { worldSize } = topology;
  terminal.note(describeRequest(subject.name, request));
  terminal.note(
    (groups === 1 ? '' : `${groups} groups, each of `) +
      `${counted(worldSize, 'rank')} with ${counted(load.threads, 'thread')}, ${load.weights} weights; ` +
      describeMode(topology, parallel, steps),
  );
  if (worldSize > 1) for (const line of describeRanks(topology, parallelism)) terminal.note(`  ${line}`);
}

async function prepare(
  options: SdxlOptions,
  subject: Subject,
  context: RunContext,
): Promise<SdxlPreparation> {
  const { terminal, meeting } = context;
  const { version, library } = await probeAddon();
  terminal.detail(`ONNX Runtime ${version} (${library})`);
  const prepareModel = subject.randomWeights ? prepareRandomWeights : prepareCheckpoint;
  const { plan, source, denoiser } = await prepareModel(options, subject, context);
  const cpus = (await meeting?.cpus()) ?? availableCpus();
  return { plan, load: { ...source, ...holding(options, denoiser, cpus, terminal) }, onnxRuntime: version };
}

interface PreparedModel {
  readonly plan: SdxlPlan;
  readonly source: Pick<LoadOptions, 'directory' | 'variant' | 'pipelineClass' | 'vae' | 'randomWeights'>;
  /** Bytes of the weights of the model that predicts noise, in float32. */
  readonly denoiser: number;
}

async function prepareCheckpoint(
  options: SdxlOptions,
  subject: Subject,
  context: RunContext,
): Promise<PreparedModel> {
  const { terminal, family } = context;
  const { variant, revision } = options;
  const checkpoint = await withByteProgress(terminal, `downloading ${subject.name}`, (onProgress) =>
    openCheckpoint(subject.model, { variant, revision, onProgress }),
  );
  requirePipelineClass(checkpoint, family.pipelineClass);
  for (const component of ignoredComponents(checkpoint)) {
    terminal.note(`${component} is not run`);
  }
  const model = () => checkpointSubject(checkpoint);
  const settled = await settleParallelism(options, model, context);
  const planned = family === pixArtFamily ? planPixArt : planSdxl;
  const plan = await planned(settled, subject, checkpoint);
  await prepareWeights(checkpoint, neededComponents(plan, family), terminal);
  const denoiser = await float32Bytes(checkpoint, family.denoiser, variant);
  const { directory, pipelineClass } = checkpoint;
  const vae =
    plan.request.outputType === 'pil' || plan.request.initImage
      ? await spreadVae(options, plan, checkpoint, terminal)
      : undefined;
  return { plan, source: { directory, variant, pipelineClass, vae }, denoiser };
}

/** What `--vae` means for these pictures. */
async function spreadVae(
  options: SdxlOptions,
  { decoded, topology }: SdxlPlan,
  checkpoint: Checkpoint,
  terminal: Terminal,
): Promise<VaeSpread> {
  const config = readAutoencoderKLConfig(await checkpoint.config('vae'));
  const size = { rows: decoded.height, columns: decoded.width };
  const work = { half: 'decode', config, size, worldSize: topology.worldSize } as const;
  const { spread, reason } = planVae(options.vae, work, undefined);
  const line = `VAE: ${reason}`;
  if (options.vae === 'auto' && spread.tilePixels !== undefined) terminal.note(line);
  else terminal.detail(line);
  return spread;
}

/** Parts of a checkpoint that diffusers would run and distri does not. */
function ignoredComponents(checkpoint: Checkpoint): readonly string[] {
  return ['safety_checker', 'image_encoder'].filter((component) => checkpoint.has(component));
}

function neededComponents({ request }: SdxlPlan, { denoiser, textEncoders }: ModelFamily): readonly string[] {
  const components = [denoiser, ...textEncoders];
  return request.outputType === 'pil' || request.initImage ? [...components, 'vae'] : components;
}

async function prepareRandomWeights(
  options: SdxlOptions,
  subject: Subject,
  context: RunContext,
): Promise<PreparedModel> {
  const { terminal, family } = context;
  const config = await readArchitecture(subject.model, family.architecture);
  const model = () => architectureSubject(subject.model);
  const settled = await settleParallelism(options, model, context);
  const planned = family === pixArtFamily ? planPixArt : planSdxl;
  const plan = await planned(settled, subject, pipelineWith(config));
  const directory = await withByteProgress(
    terminal,
    `writing random weights of ${subject.name}`,
    (onProgress) => prepareRandomModel(subject.name, config, { onProgress }),
  );
  const { pipelineClass } = family;
  const source = { directory, variant: undefined, pipelineClass, randomWeights: true };
  return { plan, source, denoiser: noiseModelBytes(config) };
}

/** How each rank holds its weights and with how many threads it computes. `denoiser` are bytes of one copy in float32. */
function holding(
  options: SdxlOptions,
  denoiser: number,
  cpus: Cpus,
  terminal: Terminal,
): Pick<LoadOptions, 'weights' | 'threads'> {
  const ranks = options.nproc_per_node;
  const threads = options.threads ?? Math.max(1, Math.floor(cpus.count / ranks));
  if (options.weights !== 'auto') return { weights: options.weights, threads };
  const { mode, reason } = planWeights(denoiser * ranks);
  terminal.detail(`weights ${mode}: ${reason}`);
  return { weights: mode, threads };
}

export function ranksPerGroup({ nproc_per_node, data_parallel = 1 }: SdxlOptions): number {
  return nproc_per_node / data_parallel;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
