import { Command } from 'commander';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { probeAddon } from '../native/load.js';
import type { LoadOptions } from '../pipelines/request.js';
import { availableCpus, type Cpus, shareCpus } from '../runtime/cpus.js';
import { unlessInterrupted } from '../runtime/interruption.js';
import type { GenerationJob } from '../runtime/job.js';
import { RankGroup } from '../runtime/launcher.js';
import type { Meeting } from '../runtime/meeting.js';
import { planWeights } from '../runtime/memory.js';
import type { Timings } from '../runtime/phase-clock.js';
import { followJob } from './follow-job.js';
import { launchedRanks } from './launched-ranks.js';
import { float32Bytes, prepareWeights, withByteProgress } from './prepare-weights.js';
import { addSdxlOptions, checkSdxlOptions, type SdxlOptions } from './sdxl-options.js';
import { SdxlOutput } from './sdxl-output.js';
import { chooseSubject, planSdxl, type SdxlPlan, type Subject } from './sdxl-plan.js';
import {
  describeMode,
  describeRanks,
  describeRequest,
  describeTimings,
  synchronousSteps,
} from './summary.js';
import { Terminal } from './terminal.js';

const rankProgram = new URL('../runtime/rank.js', import.meta.url);

const examples = `
Examples:
  distri run-sdxl
  distri run-sdxl --prompt "a small red heart on a beach" --seed 7 --output_path heart.png
  distri run-sdxl -n 4 --model stabilityai/stable-diffusion-xl-base-1.0 --prompt "a lighthouse at dusk"
  distri run-sdxl -n 2 --no_split_batch --sync_mode full_sync --output_type latent --output_path latents.safetensors`;

type GenerationMeeting = Meeting<GenerationJob, Timings>;

/** `distri run-sdxl`. `interruption` is aborted when the user wants it to end; with a `meeting` a launcher started the ranks. */
export function runSdxlCommand(interruption: AbortSignal, meeting?: GenerationMeeting): Command {
  const command = new Command('run-sdxl')
    .description('Draw a picture with an SDXL checkpoint, its denoising spread over several processes.')
    .addHelpText('after', examples);
  return addSdxlOptions(command).action(async (_options, { optsWithGlobals }: Command) => {
    const options = optsWithGlobals.call(command) as SdxlOptions & { quiet?: true; verbose?: true };
    const verbosity = options.quiet ? 'quiet' : options.verbose ? 'verbose' : 'normal';
    const ranks = launchedRanks(command, meeting);
    await runSdxl({ ...options, ...ranks }, new Terminal(verbosity), interruption, meeting);
  });
}

async function runSdxl(
  options: SdxlOptions,
  terminal: Terminal,
  interruption: AbortSignal,
  meeting: GenerationMeeting | undefined,
): Promise<void> {
  checkSdxlOptions(options);
  if (options.no_cuda_graph) terminal.note('--no_cuda_graph has no effect on a CPU');
  const subject = chooseSubject(options);
  const output = await SdxlOutput.prepare(options, subject);
  try {
    const { checkpoint, plan } = await unlessInterrupted(interruption, prepare(options, subject, terminal));
    const cpus = await unlessInterrupted(interruption, meeting?.cpus() ?? Promise.resolve(availableCpus()));
    const load = await planLoad(options, checkpoint, plan, cpus, terminal);
    describe(subject, plan, load, terminal);
    const job = { load, request: plan.request, parallel: plan.parallel, files: output.files(subject, plan) };
    const timings = await runOnRanks(job, plan, options.comm_timeout, terminal, interruption, meeting);
    await output.commit();
    report(output, timings, plan, terminal);
  } catch (error) {
    throw output.explain(error);
  } finally {
    await output.discard();
  }
}

/** Everything that has to be there before ranks start. */
async function prepare(
  options: SdxlOptions,
  subject: Subject,
  terminal: Terminal,
): Promise<{ checkpoint: Checkpoint; plan: SdxlPlan }> {
  const { version, library } = await probeAddon();
  terminal.detail(`ONNX Runtime ${version} (${library})`);
  const { variant, revision } = options;
  const checkpoint = await withByteProgress(terminal, `downloading ${subject.name}`, (onProgress) =>
    openCheckpoint(subject.model, { variant, revision, onProgress }),
  );
  const plan = await planSdxl(options, subject, checkpoint);
  const components = ['unet', 'text_encoder', 'text_encoder_2'];
  if (plan.request.outputType === 'pil') components.push('vae');
  await prepareWeights(checkpoint, components, terminal);
  return { checkpoint, plan };
}

/** How each rank holds its weights and with how many threads it computes. */
async function planLoad(
  options: SdxlOptions,
  checkpoint: Checkpoint,
  { topology }: SdxlPlan,
  cpus: Cpus,
  terminal: Terminal,
): Promise<LoadOptions> {
  const { variant } = options;
  let weights = options.weights;
  if (weights === 'auto') {
    const unet = await float32Bytes(checkpoint, 'unet', variant);
    const planned = planWeights(unet * topology.worldSize);
    terminal.detail(`weights ${planned.mode}: ${planned.reason}`);
    weights = planned.mode;
  }
  const threads = options.threads ?? Math.max(1, Math.floor(cpus.count / topology.worldSize));
  return { directory: checkpoint.directory, variant, weights, threads };
}

function describe(subject: Subject, plan: SdxlPlan, load: LoadOptions, terminal: Terminal): void {
  const { request, topology, parallel, parallelism } = plan;
  const { worldSize } = topology;
  const threads = `${load.threads} ${load.threads === 1 ? 'thread' : 'threads'}`;
  terminal.note(describeRequest(subject.name, request));
  terminal.note(
    `${worldSize} ${worldSize === 1 ? 'rank' : 'ranks'} with ${threads}, ${load.weights} weights; ` +
      describeMode(topology, parallel, request.numInferenceSteps),
  );
  if (worldSize > 1) for (const line of describeRanks(topology, parallelism)) terminal.note(`  ${line}`);
}

async function runOnRanks(
  job: GenerationJob,
  { topology: { worldSize }, request }: SdxlPlan,
  timeoutSeconds: number,
  terminal: Terminal,
  interruption: AbortSignal,
  meeting: GenerationMeeting | undefined,
): Promise<Timings> {
  // Launchers place their processes themselves.
  const cpus = meeting === undefined ? shareCpus(availableCpus(), worldSize, job.load.threads) : undefined;
  if (cpus !== undefined)
    terminal.detail(`CPUs of the ranks: ${cpus.map((share) => share.join(',')).join(' | ')}`);
  const progress = terminal.progress(request.numInferenceSteps, 'steps');
  try {
    progress.update(0, 'loading');
    const log = (rank: number, line: string) => terminal.detail(`rank ${rank}: ${line}`);
    const timeout = timeoutSeconds * 1000;
    const options = { worldSize, entry: rankProgram, cpus, timeout, interruption, log };
    const group = await RankGroup.launch(options, meeting);
    const [timings] = await group.run(job, followJob(progress));
    await group.close();
    if (timings === undefined) throw new Error('no rank answered');
    return timings;
  } finally {
    progress.stop();
  }
}

function report(
  output: SdxlOutput,
  timings: Timings,
  { topology, parallel, request }: SdxlPlan,
  terminal: Terminal,
): void {
  for (const path of output.paths) terminal.result(path);
  const synchronous = synchronousSteps(topology, parallel, request.numInferenceSteps);
  for (const line of describeTimings(timings, synchronous, performance.now())) terminal.report(line);
}
