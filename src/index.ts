/** What other programs may build on. Ranks are processes: see runtime/launcher.ts, and commands/run-sdxl.ts for its use. */
export { type Checkpoint, openCheckpoint } from './checkpoint/checkpoint.js';
export { SafetensorsFile, type TensorEntry, writeSafetensors } from './checkpoint/safetensors.js';
export type {
  Generation,
  GenerationRequest,
  LoadOptions,
  ParallelOptions,
  ProgressListener,
  SyncMode,
} from './pipelines/request.js';
export { StableDiffusionPipeline } from './pipelines/stable-diffusion.js';
export { DistriError, type ErrorCode, exitStatus } from './runtime/errors.js';
export { type GenerationJob, type JobReport, JobRunner } from './runtime/job.js';
export { type LaunchOptions, RankGroup } from './runtime/launcher.js';
export type { RankContext } from './runtime/rank-context.js';
export { planTopology, type Topology } from './runtime/topology.js';
export { createScheduler } from './schedulers/create.js';
export type { Scheduler } from './schedulers/scheduler.js';
export { createGenerator, type Generator } from './tensor/random.js';
export type { DType, Shape, Tensor } from './tensor/tensor.js';
export { CLIPTokenizer } from './tokenizers/clip.js';
