// Follows the denoising step by step, and ends a call when somebody has seen enough: node examples/steps.mjs
import { DistriError, DistriPipeline } from 'distri';

const pipeline = await DistriPipeline.fromPretrained(undefined, {
  ranks: 2,
  // Both ranks share every picture, instead of the two halves of the guidance.
  splitBatch: false,
  parallelism: 'patch',
  syncMode: 'stale_gn',
  warmupSteps: 2,
});

console.log((await pipeline.plan()).mode);

const { latents } = await pipeline({
  prompt: 'a large blue ring above a small green box',
  numInferenceSteps: 12,
  outputType: 'latent',
  stepLatents: true,
  onStep: ({ step, steps, latents }) => {
    console.log(
      `step ${step + 1} of ${steps}, the largest latent is ${Math.max(...latents.data).toFixed(2)}`,
    );
  },
});
console.log(`latents ${latents.shape.join(' x ')}`);

const controller = new AbortController();
try {
  await pipeline({
    prompt: 'a red heart',
    signal: controller.signal,
    onStep: ({ step }) => {
      if (step === 3) controller.abort(new Error('seen enough'));
    },
  });
} catch (error) {
  console.log(`ended: ${error.message}`);
}

// What can't be done is refused with a code; the pipeline can be used all the same.
try {
  await pipeline({ prompt: 'a red heart', height: 100 });
} catch (error) {
  if (!(error instanceof DistriError)) throw error;
  console.log(`${error.code}: ${error.message}`);
}

const { images } = await pipeline({ prompt: 'a red heart', numInferenceSteps: 10 });
console.log(`${images.length} picture of ${images[0].info.width} x ${images[0].info.height}`);
await pipeline.dispose();
