/** The program of a rank that denoises with PixArt's transformer, told the text's embeddings instead of encoding text. */
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { SafetensorsFile, writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { loadAddon } from '../../src/engine/load.js';
import { CAPTION_TOKENS, pixArtInputs, readGeometry } from '../../src/families/pixart-alpha.js';
import { guidanceRows, repeatRows } from '../../src/pipelines/conditioning.js';
import { DenoisingLoop } from '../../src/pipelines/denoise/step-loop.js';
import type { GenerationRequest, ParallelOptions } from '../../src/pipelines/request.js';
import { serveJobs } from '../../src/ranks/serve.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';

export interface DenoisingJob {
  readonly directory: string;
  /** Takes the place of the checkpoint's. */
  readonly schedulerConfig: Readonly<Record<string, unknown>>;
  /** File of prompt_embeds, prompt_attention_mask, and the same with negative_. */
  readonly conditioning: string;
  readonly request: GenerationRequest;
  readonly parallel: ParallelOptions;
  /** Where the first rank writes what `--trace` would. */
  readonly trace: string;
}

/** What a rank exchanged. */
export interface DenoisingReport {
  readonly bytesPublished: number;
  readonly bytesFetched: number;
}

serveJobs<DenoisingJob, DenoisingReport>(async (job, ranks, listener) => {
  const { request, parallel, directory, schedulerConfig } = job;
  const checkpoint = await openCheckpoint(directory);
  const geometry = await readGeometry(checkpoint, request);
  const loop = await DenoisingLoop.load(request, {
    addon: loadAddon(),
    source: {
      pipelineClass: 'PixArtAlphaPipeline',
      config: async (component) =>
        component === 'scheduler' ? { ...schedulerConfig } : checkpoint.config(component),
      weights: (component) => checkpoint.weights(component),
    },
    load: { directory, variant: undefined, weights: 'shared', threads: 1 },
    ranks,
    parallel,
    latent: geometry.latent,
    textTokens: CAPTION_TOKENS,
  });
  const trace: Record<string, Tensor> = {};
  const file = await SafetensorsFile.open(job.conditioning);
  const rows = async (name: string): Promise<Tensor<'float32'>> => {
    const repeated = async (prefix: string) => {
      const { shape, data } = await file.read(`${prefix}${name}`);
      return repeatRows(
        float32(shape, Float32Array.from(data as Float32Array, Number)),
        request.numImagesPerPrompt,
      );
    };
    const negative = loop.topology.guided ? await repeated('negative_') : undefined;
    return guidanceRows(await repeated(''), negative, loop.role);
  };
  await loop.begin(pixArtInputs(geometry, await rows('prompt_embeds'), await rows('prompt_attention_mask')));
  const exchanged = () => loop.communicator?.statistics() ?? { bytesPublished: 0, bytesFetched: 0 };
  const before = exchanged();
  const latents = await loop.run(request, listener, (name, make) => {
    trace[name] = make();
  });
  if (ranks.rank === 0) await writeSafetensors(job.trace, { ...trace, final_latents: latents });
  const after = exchanged();
  loop.release();
  return {
    bytesPublished: after.bytesPublished - before.bytesPublished,
    bytesFetched: after.bytesFetched - before.bytesFetched,
  };
});
