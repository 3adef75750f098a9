import { type Checkpoint, openCheckpointOf } from '../checkpoint/checkpoint.js';
import type { HubOptions } from '../checkpoint/hub/hub.js';
import { families } from './registry.js';

/** What checkpoints of each family consist of. */
export const layouts = Object.fromEntries(
  families.map(({ pipelineClass, component, textEncoders }) => [
    pipelineClass,
    ['scheduler', ...textEncoders, ...textEncoders.map(tokenizerOf), component, 'vae'],
  ]),
);

/** diffusers calls them `tokenizer`, `tokenizer_2`, … */
function tokenizerOf(textEncoder: string): string {
  return textEncoder.replace('text_encoder', 'tokenizer');
}

/**
 * Opens a checkpoint in diffusers' layout, of any family, by the path of its folder or by its id on the
 * Hugging Face hub, from which what is missing in the cache is downloaded. Errors: `checkpoint` for what is
 * not laid out as it should be, `network` for what can't be downloaded.
 */
export function openCheckpoint(nameOrPath: string, options: HubOptions = {}): Promise<Checkpoint> {
  return openCheckpointOf(layouts, nameOrPath, options);
}
