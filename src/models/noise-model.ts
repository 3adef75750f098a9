import type { JsonObject } from '../base/json.js';
import type { PipelineClass } from '../checkpoint/pipeline-classes.js';
import type { WeightSource } from '../checkpoint/weights.js';
import type { Value } from '../graph/graph.js';
import type { Kernels } from '../graph/kernels/kernels.js';
import type { Layers } from '../parallel/layers/layers.js';
import {
  type PixArtTransformer2DConfig,
  PixArtTransformer2DModel,
  readPixArtTransformer2DConfig,
} from './pixart-transformer-2d.js';
import {
  halvings,
  readUNet2DConditionConfig,
  type UNet2DConditionConfig,
  UNet2DConditionModel,
} from './unet-2d-condition.js';

/** Where configs and weights of a pipeline's parts come from. */
export interface ComponentSource {
  /** By default that of SDXL. */
  readonly pipelineClass?: PipelineClass;
  config(component: string): Promise<JsonObject>;
  weights(component: string): Promise<WeightSource>;
}

/** The latents of one request, as every rank holds them. */
export interface LatentShape {
  /** Images in this rank's batch, guidance included. */
  readonly batch: number;
  readonly rows: number;
  readonly columns: number;
  readonly textTokens: number;
}

/** A model that is a row of blocks of one width on patches of the picture. */
export interface BlockStructure {
  readonly layers: number;
  /** Of a token. */
  readonly features: number;
  /** Rows and columns of latents in a patch. */
  readonly patchSize: number;
  /** Of the prediction. */
  readonly outChannels: number;
}

/** A model that predicts noise, as far as the denoising loop knows it. */
export interface NoiseModel {
  /** The folder of its weights. */
  readonly component: 'unet' | 'transformer';
  readonly inChannels: number;
  /** How often it halves rows and columns. */
  readonly halvings: number;
  /** Of transformers. */
  readonly blocks?: BlockStructure;
  /** Adds the model to the graph; its inputs are `sample` and `timestep` of every step, and others of the image. */
  build(layers: Layers, kernels: Kernels, shape: LatentShape): Value;
}

export function unetModel(config: UNet2DConditionConfig): NoiseModel {
  return {
    component: 'unet',
    inChannels: config.inChannels,
    halvings: halvings(config),
    build: (layers, kernels, shape) => new UNet2DConditionModel(config, layers, kernels).build(shape),
  };
}

export function pixArtModel(config: PixArtTransformer2DConfig): NoiseModel {
  return {
    component: 'transformer',
    inChannels: config.inChannels,
    halvings: Math.log2(config.patchSize),
    blocks: config,
    build: (layers, kernels, shape) => new PixArtTransformer2DModel(config, layers, kernels).build(shape),
  };
}

/** The model in a pipeline of this class. */
export async function readNoiseModel(
  source: Pick<ComponentSource, 'pipelineClass' | 'config'>,
): Promise<NoiseModel> {
  return source.pipelineClass === 'PixArtAlphaPipeline'
    ? pixArtModel(readPixArtTransformer2DConfig(await source.config('transformer')))
    : unetModel(readUNet2DConditionConfig(await source.config('unet')));
}
