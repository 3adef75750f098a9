import type { CommonLayers } from './common.js';
import type { ImageLayers } from './image.js';
import type { TokenLayers } from './tokens.js';

/**
 * What a model is made of. A model is written once on these; a strategy says what each means when the image
 * is spread over ranks. `name` is the module's path in the checkpoint: its weights lie below it, and its
 * result gets this name. Values are a rank's own part, except where said.
 */
export type Layers = CommonLayers & ImageLayers & TokenLayers;
