/** The components that each class of pipeline is made of, by the keys of its model_index.json. */
const components = {
  PixArtAlphaPipeline: ['scheduler', 'text_encoder', 'tokenizer', 'transformer', 'vae'],
  StableDiffusionPipeline: ['scheduler', 'text_encoder', 'tokenizer', 'unet', 'vae'],
  StableDiffusionXLPipeline: [
    'scheduler',
    'text_encoder',
    'text_encoder_2',
    'tokenizer',
    'tokenizer_2',
    'unet',
    'vae',
  ],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type PipelineClass = keyof typeof components;

/** The `_class_name`s of model_index.json that distri can run. */
export const pipelineClasses = Object.keys(components) as readonly PipelineClass[];

export function isPipelineClass(name: unknown): name is PipelineClass {
  return typeof name === 'string' && Object.hasOwn(components, name);
}

export function componentsOf(name: PipelineClass): readonly string[] {
  return components[name];
}
