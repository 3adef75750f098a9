/** What other programs may build on. Ranks are processes: see runtime/launcher.ts, and commands/run-sdxl.ts for its use. */

export { DistriError, type ErrorCode, exitStatus } from './base/errors.js';
export { type Checkpoint, openCheckpoint } from './checkpoint/checkpoint.js';
export { SafetensorsFile, type TensorEntry, writeSafetensors } from './checkpoint/formats/safetensors.js';
export { StableDiffusionPipeline } from './families/stable-diffusion.js';
export { type GenerationJob, type JobReport, JobRunner } from './jobs/draw.js';
export { planTopology, type Topology } from './parallel/topology.js';
export type {
  Generation,
  GenerationRequest,
  LoadOptions,
  ParallelOptions,
  ProgressListener,
  SyncMode,
} from './pipelines/request.js';
export { type LaunchOptions, RankGroup } from './ranks/group/rank-group.js';
export type { RankContext } from './ranks/rank-context.js';
export { createScheduler } from './schedulers/registry.js';
export type { Scheduler } from './schedulers/scheduler.js';
export type { Generator } from './tensor/generator.js';
export { createGenerator } from './tensor/random.js';
export type { DType, Shape, Tensor } from './tensor/tensor.js';
export { CLIPTokenizer } from './tokenizers/clip.js';
