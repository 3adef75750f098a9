import { Command } from 'commander';
import type { DrawMeeting } from '../app/prepare.js';
import { sdFamily } from '../families/family.js';
import { addDrawOptions, addInitImageOptions, type DrawOptions } from './options/draw.js';
import { launchedRanks } from './options/launched-ranks.js';
import { Terminal } from './output/terminal.js';
import { runFamily } from './run-sdxl.js';

const examples = `
Examples:
  distri run-sd --model ./stable-diffusion-v1-5 --init_image sketch.png --strength 0.6 --prompt "a lighthouse at dusk"
  distri run-sd --model stable-diffusion-v1-5/stable-diffusion-v1-5 --prompt "a lighthouse at dusk"
  distri run-sd -n 4 --model ./stable-diffusion-2-1 --scheduler euler --num_inference_steps 30 --seed 7 --output_path lighthouse.png
  distri run-sd --mode benchmark --random_weights sd-1.5 --image_size 256 --num_inference_steps 10 --test_times 3`;

/** `distri run-sd`. `interruption` is aborted when the user wants it to end; with a `meeting` a launcher started the ranks. */
export function runSdCommand(interruption: AbortSignal, meeting?: DrawMeeting): Command {
  const command = new Command('run-sd')
    .description(
      'Draw a picture with a Stable Diffusion 1.x or 2.x checkpoint, its denoising spread over several processes.',
    )
    .addHelpText('after', examples);
  return addInitImageOptions(addDrawOptions(command, sdFamily)).action(
    async (_options, { optsWithGlobals }: Command) => {
      const options = optsWithGlobals.call(command) as DrawOptions & { quiet?: true; verbose?: true };
      const verbosity = options.quiet ? 'quiet' : options.verbose ? 'verbose' : 'normal';
      const ranks = launchedRanks(command, meeting);
      const terminal = new Terminal(verbosity);
      await runFamily({ ...options, ...ranks }, { terminal, interruption, meeting, family: sdFamily });
    },
  );
}
