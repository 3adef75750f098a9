/**
 * distri as a library: open a model with `DistriPipeline.fromPretrained`, call the pipeline to draw.
 *
 * @packageDocumentation
 */

export {
  DistriPipeline,
  type FromPretrainedOptions,
  type Picture,
  type PipelineCall,
  type PipelineOutput,
  type StepEvent,
} from './app/distri-pipeline.js';
export { computeMetrics, type MetricsOptions } from './app/metrics.js';
export type { Observer, Progress } from './app/observer.js';
export type { DrawCall, FamilyCallOptions, ModelOptions, SetupOptions } from './app/options.js';
export type { PlanOptions, PlanPicture, PlanReport } from './app/plan.js';
export type { DrawPlan } from './app/plan-drawing.js';
export { type PlanRunOptions, planRun } from './app/plan-run.js';
export { DistriError, type ErrorCode, exitStatus } from './base/errors.js';
export type { Checkpoint } from './checkpoint/checkpoint.js';
export { openCheckpoint } from './families/open-checkpoint.js';
export type { DrawReport } from './jobs/draw.js';
export type { MetricName, Metrics } from './metrics/compute.js';
export type { GenerationRequest } from './pipelines/request.js';
export type { Shape, Tensor } from './tensor/tensor.js';
