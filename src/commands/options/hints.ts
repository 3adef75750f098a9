import { type Command, CommanderError } from 'commander';

/** What other programs call what is here called otherwise. */
const otherNames: Readonly<Record<string, string>> = {
  '--aliases': '--name, once for each folder',
  '--batch_size': '--num_images_per_prompt',
  '--caption_path': '--prompts',
  '--cfg': '--guidance_scale',
  '--cfg_scale': '--guidance_scale',
  '--ckpt': '--model',
  '--data_parallel_degree': '--data_parallel',
  '--device': 'nothing: distri computes on CPUs',
  '--dtype': 'nothing: weights of any type are computed with in float32',
  '--enable_slicing': 'nothing: the VAE takes one picture after another',
  '--enable_tiling': '--vae tiled',
  '--gpus': '-n',
  '--guidance': '--guidance_scale',
  '--hard_copy': '--pictures embed',
  '--image': '--init_image',
  '--image_dirs': 'the folders alone, without an option',
  '--model_id': '--model',
  '--model_path': '--model',
  '--num_gpus': '-n',
  '--num_images': '--num_images_per_prompt',
  '--num_steps': '--num_inference_steps',
  '--output': '--output_path',
  '--output_root': '--output_path',
  '--pipefusion_parallel_degree': '--parallelism pipefusion',
  '--resolution': '--image_size HEIGHT WIDTH',
  '--ring_degree': '--parallelism sequence, for transformers alone',
  '--sampler': '--scheduler',
  '--size': '--image_size HEIGHT WIDTH',
  '--steps': '--num_inference_steps',
  '--tensor_parallel_degree': '--parallelism tensor',
  '--ulysses_degree': '--parallelism sequence, for transformers alone',
  '--use_parallel_vae': '--vae parallel',
  '--world_size': '-n',
};

/** The error of a command line with what would work, where that is known. */
export function explainUsage(error: CommanderError, command: Command): CommanderError {
  const hint = hintFor(error, command);
  if (hint === undefined) return error;
  return new CommanderError(error.exitCode, error.code, hint);
}

function hintFor({ code, message }: CommanderError, command: Command): string | undefined {
  if (code === 'commander.unknownOption') {
    const [, name = ''] = /'([^']+)'/.exec(message) ?? [];
    const here = otherNames[name];
    return here === undefined ? undefined : `unknown option '${name}': here it is ${here}`;
  }
  const drawsPrompts = command.options.some(({ long }) => long === '--prompt');
  if (code !== 'commander.excessArguments' || !drawsPrompts) return undefined;
  return `${command.name()} takes no arguments besides options: what to draw goes behind --prompt`;
}
