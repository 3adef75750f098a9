// Asks which way to share a picture is best here, and measures what another way does to it:
// node examples/compare.mjs
import { mkdir } from 'node:fs/promises';
import { computeMetrics, DistriPipeline, planRun } from 'distri';
import sharp from 'sharp';

const { choices, recommended } = await planRun(undefined, { ranks: 2 });
for (const { ranks, parallelism, splitBatch, prediction, exact } of choices) {
  const step = `${(1000 * prediction.step).toFixed(1)} ms a step`;
  console.log(
    `${ranks} x ${parallelism}${splitBatch ? ', split batch' : ''}: ${step}${exact ? ', exact' : ''}`,
  );
}
console.log(`best: ${recommended.reason}`);

// The same pictures by one rank, and by two with stale data.
for (const [folder, setup] of Object.entries({
  one: { ranks: 1 },
  stale: { ranks: 2, splitBatch: false, syncMode: 'stale_gn', warmupSteps: 1 },
})) {
  await mkdir(folder, { recursive: true });
  const pipeline = await DistriPipeline.fromPretrained(undefined, setup);
  for (const seed of [0, 1]) {
    const { images } = await pipeline({ prompt: 'a red heart on a beach', numInferenceSteps: 15, seed });
    await sharp(images[0].data, { raw: images[0].info }).png().toFile(`${folder}/${seed}.png`);
  }
  await pipeline.dispose();
}

const { psnr } = await computeMetrics('one', 'stale', { metrics: ['psnr'] });
console.log(`PSNR ${psnr.value.toFixed(2)} dB over ${psnr.pairs} pictures`);
