import { Command } from 'commander';
import { benchmark } from '../app/benchmark.js';
import { drawBatch } from '../app/draw-batch.js';
import { drawPrompts } from '../app/draw-each.js';
import type { DrawMeeting, RunContext } from '../app/prepare.js';
import { sdxlFamily } from '../families/family.js';
import {
  addDrawOptions,
  addInitImageOptions,
  checkDrawOptions,
  type DrawOptions,
  drawsPromptsSingly,
} from './options/draw.js';
import { launchedRanks } from './options/launched-ranks.js';
import { Terminal } from './output/terminal.js';

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
export function runSdxlCommand(interruption: AbortSignal, meeting?: DrawMeeting): Command {
  const command = new Command('run-sdxl')
    .description('Draw a picture with an SDXL checkpoint, its denoising spread over several processes.')
    .addHelpText('after', examples);
  return addInitImageOptions(addDrawOptions(command)).action(
    async (_options, { optsWithGlobals }: Command) => {
      const options = optsWithGlobals.call(command) as DrawOptions & { quiet?: true; verbose?: true };
      const verbosity = options.quiet ? 'quiet' : options.verbose ? 'verbose' : 'normal';
      const ranks = launchedRanks(command, meeting);
      const terminal = new Terminal(verbosity);
      await runFamily({ ...options, ...ranks }, { terminal, interruption, meeting, family: sdxlFamily });
    },
  );
}

/** Draws, or measures drawing, with a model of `context.family`. */
export async function runFamily(options: DrawOptions, context: RunContext): Promise<void> {
  checkDrawOptions(options);
  if (options.no_cuda_graph) context.terminal.note('--no_cuda_graph has no effect on a CPU');
  await chooseRun(options)(options, context);
}

function chooseRun(options: DrawOptions): (options: DrawOptions, context: RunContext) => Promise<void> {
  if (options.mode === 'benchmark') return benchmark;
  return drawsPromptsSingly(options) ? drawPrompts : drawBatch;
}
