/**
 * The components that pipelines are made of, by their class in model_index.json: those that a checkpoint has
 * to have, and all that is downloaded of it.
 */
export type Layouts = Readonly<Record<string, readonly string[]>>;

/** The components of a class; undefined for one that there is no layout of. */
export function layoutOf(layouts: Layouts, pipelineClass: unknown): readonly string[] | undefined {
  const known = typeof pipelineClass === 'string' && Object.hasOwn(layouts, pipelineClass);
  return known ? layouts[pipelineClass] : undefined;
}
