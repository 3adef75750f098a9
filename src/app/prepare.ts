import { unlessInterrupted } from '../base/interruption.js';
import { type Checkpoint, openCheckpoint, requirePipelineClass } from '../checkpoint/checkpoint.js';
import type { DrawOptions } from '../commands/options/draw.js';
import { describeMode, describeRanks, describeRequest } from '../commands/output/summary.js';
import type { Terminal } from '../commands/output/terminal.js';
import { probeAddon } from '../engine/load.js';
import { readArchitecture } from '../families/architectures.js';
import { type DrawPlan, planSdxl, type Subject } from '../families/draw-plan.js';
import { type ModelFamily, pixArtFamily } from '../families/family.js';
import { planPixArt } from '../families/pixart-plan.js';
import { architectureSubject, checkpointSubject } from '../families/plan-subject.js';
import { noiseModelBytes, pipelineWith, prepareRandomModel } from '../families/random-model.js';
import type { GenerationJob, JobReport } from '../jobs/draw.js';
import { availableCpus, type Cpus, shareCpus } from '../machine/cpus.js';
import { planWeights } from '../machine/memory.js';
import { readAutoencoderKLConfig } from '../models/autoencoder-kl.js';
import type { LoadOptions, VaeSpread } from '../pipelines/request.js';
import { planVae } from '../pipelines/vae/plan.js';
import { RankGroup } from '../ranks/group/rank-group.js';
import type { Meeting } from '../ranks/join/meeting.js';
import { float32Bytes, prepareWeights, withByteProgress } from './prepare-weights.js';
import { settleParallelism } from './settle.js';

const rankProgram = new URL('../jobs/rank.js', import.meta.url);

/** All that ranks need to begin. */
export interface Preparation {
  readonly plan: DrawPlan;
  readonly load: LoadOptions;
  /** Version of ONNX Runtime. */
  readonly onnxRuntime: string;
}

export type DrawRanks = RankGroup<GenerationJob, JobReport>;
export type DrawMeeting = Meeting<GenerationJob, JobReport>;

/** Where a command runs. */
export interface RunContext {
  /** The kind of model that it draws with. */
  readonly family: ModelFamily;
  readonly terminal: Terminal;
  /** Aborted when the user wants it to end. */
  readonly interruption: AbortSignal;
  /** Of the processes of a launcher; undefined where distri starts the ranks. */
  readonly meeting: DrawMeeting | undefined;
}

/** Makes what has to be there before ranks start: checked options, a checkpoint, weights in float32. */
export function prepareDrawing(
  options: DrawOptions,
  subject: Subject,
  context: RunContext,
): Promise<Preparation> {
  return unlessInterrupted(context.interruption, prepare(options, subject, context));
}

/** Starts the ranks of one group; `group` of `options.data_parallel` groups uses its share of the CPUs. */
export function launchRanks(
  options: DrawOptions,
  load: LoadOptions,
  { terminal, interruption, meeting }: RunContext,
  group = 0,
): Promise<DrawRanks> {
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
  { plan, load }: Preparation,
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

async function prepare(options: DrawOptions, subject: Subject, context: RunContext): Promise<Preparation> {
  const { terminal, meeting } = context;
  const { version, library } = await probeAddon();
  terminal.detail(`ONNX Runtime ${version} (${library})`);
  const prepareModel = subject.randomWeights ? prepareRandomWeights : prepareCheckpoint;
  const { plan, source, denoiser } = await prepareModel(options, subject, context);
  const cpus = (await meeting?.cpus()) ?? availableCpus();
  return { plan, load: { ...source, ...holding(options, denoiser, cpus, terminal) }, onnxRuntime: version };
}

interface PreparedModel {
  readonly plan: DrawPlan;
  readonly source: Pick<LoadOptions, 'directory' | 'variant' | 'pipelineClass' | 'vae' | 'randomWeights'>;
  /** Bytes of the weights of the model that predicts noise, in float32. */
  readonly denoiser: number;
}

async function prepareCheckpoint(
  options: DrawOptions,
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
  options: DrawOptions,
  { decoded, topology }: DrawPlan,
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

function neededComponents({ request }: DrawPlan, { denoiser, textEncoders }: ModelFamily): readonly string[] {
  const components = [denoiser, ...textEncoders];
  return request.outputType === 'pil' || request.initImage ? [...components, 'vae'] : components;
}

async function prepareRandomWeights(
  options: DrawOptions,
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
  options: DrawOptions,
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

export function ranksPerGroup({ nproc_per_node, data_parallel = 1 }: DrawOptions): number {
  return nproc_per_node / data_parallel;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
