import { Command, Option } from 'commander';
import type { DrawMeeting } from '../app/prepare.js';
import { pixArtFamily } from '../families/family.js';
import { addDrawOptions, type DrawOptions } from './options/draw.js';
import { launchedRanks } from './options/launched-ranks.js';
import { addPipeFusionOptions, pipeFusionWarmupSteps } from './options/pipefusion.js';
import { addTransformerOptions } from './options/transformer.js';
import { Terminal } from './output/terminal.js';
import { runFamily } from './run-sdxl.js';

const examples = `
Examples:
  distri run-pixart --model PixArt-alpha/PixArt-XL-2-1024-MS --prompt "a small cactus with a happy face in the Sahara desert"
  distri run-pixart --model ./PixArt-XL-2-512x512 --image_size 512 --seed 7 --output_path cactus.png
  distri run-pixart -n 4 --parallelism tensor --model PixArt-alpha/PixArt-XL-2-1024-MS --prompt "a lighthouse at dusk"
  distri run-pixart -n 4 --parallelism pipefusion --num_pipeline_patch 8 --model PixArt-alpha/PixArt-XL-2-1024-MS --prompt "a lighthouse at dusk"
  distri run-pixart -n 8 --parallelism sequence --ulysses_degree 2 --ring_degree 2 --model PixArt-alpha/PixArt-XL-2-1024-MS --prompt "a lighthouse at dusk"
  distri run-pixart --model ./PixArt-XL-2-1024-MS --image_size 768 1344 --no_resolution_binning --output_type latent
  distri run-pixart --mode benchmark --random_weights pixart-mid --num_inference_steps 10 --test_times 5`;

/** `distri run-pixart`. `interruption` is aborted when the user wants it to end; with a `meeting` a launcher started the ranks. */
export function runPixArtCommand(interruption: AbortSignal, meeting?: DrawMeeting): Command {
  const command = new Command('run-pixart')
    .description(
      'Draw a picture with a PixArt-alpha checkpoint, its denoising spread over several processes.',
    )
    .addHelpText('after', examples);
  addDrawOptions(command, pixArtFamily)
    .optionsGroup('Picture:')
    .addOption(
      new Option(
        '--no_resolution_binning',
        'draw at the size itself, not at the nearest one the model was trained at',
      ),
    );
  addPipeFusionOptions(command);
  addTransformerOptions(command);
  return command.action(async (_options, { optsWithGlobals }: Command) => {
    const given = optsWithGlobals.call(command) as DrawOptions & { quiet?: true; verbose?: true };
    const pipefusion_warmup_steps = pipeFusionWarmupSteps(command, given);
    const warmup_steps = given.parallelism === 'pipefusion' ? pipefusion_warmup_steps : given.warmup_steps;
    const options = { ...given, warmup_steps, pipefusion_warmup_steps };
    const verbosity = options.quiet ? 'quiet' : options.verbose ? 'verbose' : 'normal';
    const ranks = launchedRanks(command, meeting);
    const terminal = new Terminal(verbosity);
    await runFamily({ ...options, ...ranks }, { terminal, interruption, meeting, family: pixArtFamily });
  });
}
