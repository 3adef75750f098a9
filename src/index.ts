/**
 * distri as a library: open a model with `DistriPipeline.fromPretrained`, call the pipeline to draw.
 * `planRun` compares ways to share a picture, `computeMetrics` two folders of pictures, `openCheckpoint`
 * reads a model's files.
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
export type { JsonObject } from './base/json.js';
export type { OptionValue } from './base/option-spec.js';
export type { GridSize, PictureSize } from './base/sizes.js';
export type { Checkpoint } from './checkpoint/checkpoint.js';
export type { ComponentSource } from './checkpoint/component-source.js';
export type { ConversionOptions } from './checkpoint/conversion.js';
export type { StoredType, TensorEntry } from './checkpoint/formats/safetensors.js';
export type { HubOptions } from './checkpoint/hub/hub.js';
export type { OnProgress } from './checkpoint/hub/snapshot.js';
export type { WeightOptions, WeightSource } from './checkpoint/weights.js';
export type { CommunicatorStatistics } from './engine/addon.js';
export type { DeviceChoice, DtypeName, EngineName } from './engine/device.js';
export { openCheckpoint } from './families/open-checkpoint.js';
export type { ComputeKind } from './graph/operators.js';
export type { PictureSource } from './images/picture.js';
export type { DrawReport } from './jobs/draw.js';
export type { Timings } from './jobs/observe/phase-clock.js';
export type { TimelineRow, TimelineSpan } from './jobs/observe/timeline.js';
export type { WeightsMode } from './machine/memory.js';
export type { PairResult } from './metrics/compare-pairs.js';
export type { Mean, MetricName, Metrics } from './metrics/compute.js';
export type { Pair, Pairing } from './metrics/pairing.js';
export type { ParallelOptions, StrategyName, StrategyOptions } from './parallel/registry.js';
export type { ExchangeKind } from './parallel/slots.js';
export type { DisplacedOptions } from './parallel/strategies/displaced-patch.js';
export type { NaiveOptions, SplitScheme } from './parallel/strategies/naive-patch.js';
export type { PipeFusionOptions } from './parallel/strategies/pipefusion.js';
export type { SequenceOptions } from './parallel/strategies/sequence.js';
export type { StageOptions } from './parallel/strategies/stage-plan.js';
export type { SyncMode } from './parallel/sync-modes.js';
export type { GuidancePart, RankRole, Topology } from './parallel/topology.js';
export type { Geometry } from './pipelines/geometry.js';
export type { LoadOptions, VaeSpread } from './pipelines/load-options.js';
export type { Generation, GenerationRequest, InitImage, OutputType } from './pipelines/request.js';
export type { VaeMode } from './pipelines/vae/plan.js';
export type { Choice } from './planning/choices.js';
export type { ExchangeTotal, MemoryPlan, PlannedChoice, RankPlan } from './planning/plan.js';
export type { Prediction } from './planning/prediction.js';
export type { Measured } from './planning/profile.js';
export type { PlannedVae, VaeRank } from './planning/vae-ranks.js';
export type { Phase } from './ranks/progress.js';
export type { SchedulerName } from './schedulers/registry.js';
export type { RngName } from './tensor/random.js';
export type { DType, Shape, Tensor, TensorData } from './tensor/tensor.js';
