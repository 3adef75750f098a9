import type { Command } from 'commander';
import { expected } from '../../base/errors.js';
import { type OutputType, outputTypes } from '../../pipelines/request.js';
import { choice, value } from './build.js';
import { text } from './parsers.js';

/** Which files a run writes. */
export interface OutputOptions {
  readonly output_path?: string;
  readonly output_type: OutputType;
  readonly json?: string;
  readonly trace?: string;
  readonly timeline?: string;
}

export function addOutputOptions(command: Command): Command {
  return command
    .optionsGroup('Output:')
    .addOption(
      value('--output_path <file>', 'where the picture goes (default: a new name in results/)', text),
    )
    .addOption(choice('--output_type <type>', 'a PNG, or the latents as .safetensors', outputTypes, 'pil'))
    .addOption(
      value(
        '--json <file>',
        'write how long each phase and step took on each rank to this file; of a benchmark, all that was measured',
        text,
      ),
    )
    .addOption(value('--trace <file>', "write every step's tensors to this .safetensors file", text))
    .addOption(
      value(
        '--timeline <file>',
        'write what each rank did when, for ui.perfetto.dev or chrome://tracing',
        text,
      ),
    );
}

export function checkOutputOptions({ trace, timeline }: OutputOptions): void {
  if (trace !== undefined && !trace.endsWith('.safetensors')) {
    throw expected('a path that ends in .safetensors', '--trace', trace);
  }
  if (timeline !== undefined && !timeline.endsWith('.json')) {
    throw expected('a path that ends in .json', '--timeline', timeline);
  }
}
