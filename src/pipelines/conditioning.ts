import { DistriError } from '../base/errors.js';
import type { Communicator } from '../engine/addon.js';
import type { RankRole, Topology } from '../parallel/topology.js';
import type { ProgressListener } from '../ranks/progress.js';
import { elementCount, float32, type Shape, type Tensor } from '../tensor/tensor.js';
import type { Recorder } from './denoise/recorder.js';
import type { Geometry } from './geometry.js';
import type { Part } from './part-cache.js';
import type { GenerationRequest } from './request.js';

/** Where a model's conditions are computed. */
export interface ConditioningContext {
  readonly topology: Topology;
  /** This rank's. */
  readonly role: RankRole;
  readonly communicator: Communicator | undefined;
  readonly geometry: Geometry;
  readonly record: Recorder;
  readonly listener: ProgressListener;
}

/**
 * Texts and sizes as the noise model is told them. Text encoders are on the first rank only; the others are
 * sent what they make.
 */
export interface Conditioner extends Part {
  /** Whether it has texts to encode, which is a phase of its own. */
  readonly encodesText: boolean;
  /**
   * The model's inputs of an image by name, of this rank's rows of the guidance batch. All ranks call it
   * together.
   */
  inputs(request: GenerationRequest, context: ConditioningContext): Promise<Readonly<Record<string, Tensor>>>;
}

/** The first rank's tensor of this shape on every rank; the others give `undefined`. */
export async function shareTensor(
  own: Tensor<'float32'> | undefined,
  shape: Shape,
  communicator: Communicator | undefined,
): Promise<Tensor<'float32'>> {
  const shared = own ?? float32(shape);
  await communicator?.broadcast(shared.data, 0);
  return shared;
}

/** Refuses embeddings that are no numbers, on the rank that computed them. */
export function requireFiniteText({ data }: Tensor<'float32'>, component: string): void {
  if (data.every(Number.isFinite)) return;
  throw new DistriError(
    'checkpoint',
    `the embeddings of the prompt are not finite: the weights of ${component} are damaged; another copy of the checkpoint may help`,
  );
}

/**
 * Of a tensor `[images, …]`, the rows of the guidance batch that a rank computes: `[unconditional…,
 * conditional…]` or one half. `negative` is there only with guidance.
 */
export function guidanceRows(
  positive: Tensor<'float32'>,
  negative: Tensor<'float32'> | undefined,
  { guidance }: RankRole,
): Tensor<'float32'> {
  if (!negative || guidance === 'conditional') return positive;
  return guidance === 'unconditional' ? negative : joinRows(negative, positive);
}

/** One negative text per prompt; a single one goes for all, none means the empty text. */
export function negativePrompts({
  prompt,
  negativePrompt,
}: Pick<GenerationRequest, 'prompt' | 'negativePrompt'>): readonly string[] {
  return onePerPrompt(negativePrompt.length === 0 ? [''] : negativePrompt, prompt.length, 'negative prompts');
}

/** One text for each of so many prompts, of which a single one goes for all. */
export function onePerPrompt(texts: readonly string[], prompts: number, what: string): readonly string[] {
  if (texts.length === prompts) return texts;
  if (texts.length === 1) return Array.from({ length: prompts }, () => texts[0] as string);
  throw new DistriError(
    'usage',
    `${texts.length} ${what} do not fit ${prompts} prompts: give one for all, or one for each`,
  );
}

/** Images in a rank's batch: twice the pictures when it computes both halves of the guidance. */
export function batchSize(images: number, topology: Topology): number {
  return topology.guided && !topology.splitBatch ? 2 * images : images;
}

/** Each row `times` times in a row, as `repeat_interleave`: images of one prompt follow each other. */
export function repeatRows(tensor: Tensor<'float32'>, times: number): Tensor<'float32'> {
  const [rows, ...rest] = tensor.shape as [number, ...number[]];
  const width = elementCount(rest);
  const data = new Float32Array(rows * times * width);
  for (let row = 0; row < rows * times; row++) {
    const source = Math.floor(row / times) * width;
    data.set(tensor.data.subarray(source, source + width), row * width);
  }
  return float32([rows * times, ...rest], data);
}

/** A tensor `times` times below itself. */
export function tileRows(tensor: Tensor<'float32'>, times: number): Tensor<'float32'> {
  const [rows, ...rest] = tensor.shape as [number, ...number[]];
  const data = new Float32Array(tensor.data.length * times);
  for (let copy = 0; copy < times; copy++) data.set(tensor.data, copy * tensor.data.length);
  return float32([rows * times, ...rest], data);
}

export function zerosLike(tensor: Tensor<'float32'>): Tensor<'float32'> {
  return float32(tensor.shape);
}

function joinRows(a: Tensor<'float32'>, b: Tensor<'float32'>): Tensor<'float32'> {
  const data = new Float32Array(a.data.length + b.data.length);
  data.set(a.data);
  data.set(b.data, a.data.length);
  return float32([(a.shape[0] as number) + (b.shape[0] as number), ...a.shape.slice(1)], data);
}
