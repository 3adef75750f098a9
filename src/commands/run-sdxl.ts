import { Command } from 'commander';
import { launchedRanks } from './launched-ranks.js';
import { sdxlFamily } from './model-family.js';
import { benchmarkSdxl } from './sdxl-benchmark.js';
import { drawBatch } from './sdxl-draw.js';
import {
  addInitImageOptions,
  addSdxlOptions,
  checkSdxlOptions,
  drawsPromptsSingly,
  type SdxlOptions,
} from './sdxl-options.js';
import { drawPrompts } from './sdxl-prompts.js';
import type { RunContext, SdxlMeeting } from './sdxl-ranks.js';
import { Terminal } from './terminal.js';

const examples = `
Examples:
  distri run-sdxl
  distri run-sdxl --prompt "a small red heart on a beach" --seed 7 --output_path heart.png
  distri run-sdxl -n 4 --model stabilityai/stable-diffusion-xl-base-1.0 --prompt "a lighthouse at dusk"
  distri run-sdxl -n 2 --no_split_batch --sync_mode full_sync --output_type latent --output_path latents.safetensors
  distri run-sdxl -n 4 --data_parallel 2 --prompts prompts.txt --output_path pictures
  distri run-sdxl --init_image sketch.png --strength 0.6 --prompt "a yellow star on a night sky"
  distri run-sdxl --mode benchmark -n 2 --json benchmark.json
  distri run-sdxl --mode benchmark --random_weights sdxl-mid --image_size 512 --num_inference_steps 10 --test_times 5`;

/** `distri run-sdxl`. `interruption` is aborted when the user wants it to end; with a `meeting` a launcher started the ranks. */
export function runSdxlCommand(interruption: AbortSignal, meeting?: SdxlMeeting): Command {
  const command = new Command('run-sdxl')
    .description('Draw a picture with an SDXL checkpoint, its denoising spread over several processes.')
    .addHelpText('after', examples);
  return addInitImageOptions(addSdxlOptions(command)).action(
    async (_options, { optsWithGlobals }: Command) => {
      const options = optsWithGlobals.call(command) as SdxlOptions & { quiet?: true; verbose?: true };
      const verbosity = options.quiet ? 'quiet' : options.verbose ? 'verbose' : 'normal';
      const ranks = launchedRanks(command, meeting);
      const terminal = new Terminal(verbosity);
      await runFamily({ ...options, ...ranks }, { terminal, interruption, meeting, family: sdxlFamily });
    },
  );
}

/** Draws, or measures drawing, with a model of `context.family`. */
export async function runFamily(options: SdxlOptions, context: RunContext): Promise<void> {
  checkSdxlOptions(options);
  if (options.no_cuda_graph) context.terminal.note('--no_cuda_graph has no effect on a CPU');
  await chooseRun(options)(options, context);
}

function chooseRun(options: SdxlOptions): (options: SdxlOptions, context: RunContext) => Promise<void> {
  if (options.mode === 'benchmark') return benchmarkSdxl;
  return drawsPromptsSingly(options) ? drawPrompts : drawBatch;
}
