import type { JsonObject } from '../base/json.js';
import type { OptionSpec, OptionValue } from '../base/option-spec.js';
import type { PictureSize } from '../base/sizes.js';
import type { ComponentSource } from '../checkpoint/component-source.js';
import type { Device } from '../engine/device.js';
import type { ExecutableOptions } from '../engine/executable.js';
import type { AutoencoderKLConfig } from '../models/autoencoder-kl.js';
import type { NoiseModel } from '../models/noise-model.js';
import type { Conditioner } from '../pipelines/conditioning.js';
import type { Geometry } from '../pipelines/geometry.js';
import type { GenerationRequest } from '../pipelines/request.js';
import type { Prediction, SchedulerName } from '../schedulers/registry.js';

/** What of a checkpoint or an architecture decides what its pictures are and how they can be shared. */
export interface Outline {
  readonly model: NoiseModel;
  /** Size of the pictures that it was made for. */
  readonly native: PictureSize;
  /** Pixels per latent. */
  readonly factor: number;
  /** Of a text, where a request does not say otherwise. */
  readonly textTokens: number;
  /** Undefined for architectures without one. */
  readonly vae?: AutoencoderKLConfig;
}

/** A source of configs alone: a checkpoint, or an architecture without weights. */
export type ConfigSource = Pick<ComponentSource, 'config'>;

/**
 * A family as it is drawn without a checkpoint, to measure denoising: random weights, random conditions, no
 * VAE.
 */
export interface Synthetic {
  /** One of its architectures, for help texts. */
  readonly example: string;
  /** Whether a config in configs/ is of a noise model of the family. */
  isArchitecture(config: JsonObject): boolean;
  /** Configs of the components that have no weights, of the checkpoint that the architecture belongs to. */
  configs: Readonly<Record<string, JsonObject>>;
  conditioner(source: ConfigSource, geometry: Geometry): Promise<Conditioner>;
}

/**
 * A kind of model: all that commands, planner and ranks have to know of it. A file each, and a row in
 * registry.ts.
 */
export interface Family {
  /** As in `run-<name>`. */
  readonly name: string;
  /** As people call its checkpoints. */
  readonly title: string;
  /** In model_index.json. */
  readonly pipelineClass: string;
  /** Of the component that predicts noise. */
  readonly component: string;
  readonly textEncoders: readonly string[];
  /**
   * The checkpoint that comes with the package and is drawn with where none is named, and what is drawn then.
   */
  readonly embedded?: { readonly model: string; readonly prompt: string };
  /** What its models say of a noisy picture, which decides what schedulers it has. */
  readonly predicts: Prediction;
  /** Whether its picture can begin with another. */
  readonly imageToImage: boolean;
  /** As the public scripts and pipelines have them. */
  readonly defaults: {
    readonly numInferenceSteps: number;
    readonly guidanceScale: number;
    /** Undefined for the one that the checkpoint names. */
    readonly scheduler: SchedulerName | undefined;
    /** Where users give no prompt. */
    readonly prompt: string;
  };
  /** Sides have to be multiples of this many pixels, whatever the checkpoint says. */
  readonly sideUnit: number;
  /** What sizes there can be, for help texts. */
  readonly sizes: string;
  /** Options of its requests that other families do not have. */
  readonly options: readonly OptionSpec[];
  readonly synthetic: Synthetic;
  /** Arguments of `run-<name>`, for help texts. */
  readonly examples: readonly string[];
  /** Reads configs; what is not implemented is refused. */
  outline(source: ConfigSource): Promise<Outline>;
  /** The size that is drawn where another is asked for; where absent the same, or none. */
  drawnSize?(size: PictureSize): PictureSize;
  /**
   * The scale of classifier-free guidance, of models that are told `--guidance_scale` as a number: see
   * `guidanceOf`.
   */
  trueCfgScale?(request: Pick<GenerationRequest, 'negativePrompt' | 'familyOptions'>): number;
  /** Refuses sizes that the model can't do. */
  geometry(outline: Outline, size: PictureSize, options: Readonly<Record<string, OptionValue>>): Geometry;
  /** Texts to the model's inputs. `encodes`: this rank loads the text encoders. */
  conditioner(
    device: Device,
    source: ComponentSource,
    encodes: boolean,
    options: ExecutableOptions,
    geometry: Geometry,
  ): Promise<Conditioner>;
}
